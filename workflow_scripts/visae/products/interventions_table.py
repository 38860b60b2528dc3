"""What edits of features change, over classes, beside controls of equal size."""

from visae.products.product import Product
from visae.products.sources import edited_saes, outcomes

ENTRY = Product(
    kind="table",
    shows="what edits of features change, beside controls of equal size",
    reads=outcomes,
    settings=lambda study: {"seed": study.seed},
    needs=(edited_saes,),
)


def make(inputs, settings):
    """See `visae.tables.interventions.interventions_table`."""
    from visae.tables.interventions import interventions_table

    return interventions_table(inputs["outcomes"], settings["seed"])
