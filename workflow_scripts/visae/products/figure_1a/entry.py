"""Figure 1a: normalised scores of the main sweep on every metric, by backbone."""

from visae.products.product import Product
from visae.products.sources import looks, metrics, over_main, several_backbones, tables

ENTRY = Product(
    kind="figure",
    shows="normalised scores on every metric, by backbone",
    reads=lambda study, paths: tables(paths, "backbone_means"),
    settings=lambda study: {**metrics(study), **looks(study)},
    over=over_main,
    needs=(several_backbones,),
)
