"""M5 of every backbone in every evaluator's space, as a heat map."""

from visae.products.product import Product
from visae.products.sources import looks, metrics_of, over_main, tables

ENTRY = Product(
    kind="figure",
    shows="M5 of every backbone in every evaluator's space",
    reads=lambda study, paths: tables(paths, "evaluators_table"),
    settings=looks,
    over=over_main,
    needs=(metrics_of("monosemanticity"),),
)
