"""Ways of training SAEs of one size and L0, metric by metric."""

from visae.products.product import Product
from visae.products.sources import labels, metrics, several_recipes, tables
from visae.study import roles

ENTRY = Product(
    kind="figure",
    shows="ways of training SAEs of one size and L0, metric by metric",
    reads=lambda study, paths: tables(paths, "recipes_table"),
    settings=lambda study: {**metrics(study), "labels": labels(study)},
    needs=(several_recipes,),
    over=lambda study: f"{len(roles.recipes(study))} recipes.",
)
