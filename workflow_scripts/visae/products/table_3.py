"""Table 3: what each metric's variance over the main sweep is made of."""

from visae.products.product import Product
from visae.products.sources import main_scores, several_backbones, several_saes, variance_settings

ENTRY = Product(
    kind="table",
    shows="what each metric's variance is made of",
    reads=main_scores,
    settings=variance_settings,
    needs=(several_backbones, several_saes),
)


def make(inputs, settings):
    from visae.tables.scores import read_scores
    from visae.tables.variance import table_3

    return table_3(read_scores(inputs["scores"]), settings["sweep"], seed=settings["seed"])
