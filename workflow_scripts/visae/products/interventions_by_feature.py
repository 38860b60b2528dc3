"""What edits of single features change: predictions, and probabilities before and after."""

from visae.products.product import Product
from visae.products.sources import edited_saes, outcomes

ENTRY = Product(
    kind="table",
    shows="what edits of single features change, and probabilities before and after",
    reads=outcomes,
    needs=(edited_saes,),
)


def make(inputs, settings):
    """See `visae.tables.interventions.features_table`."""
    from visae.tables.interventions import features_table

    return features_table(inputs["outcomes"])
