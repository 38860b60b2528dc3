"""Figure 2a: FVU against downstream preservation, one point per SAE of the main sweep."""

from visae.products.product import Product
from visae.products.sources import looks, main_scores, on_main, over_main, tables


def _reads(study, paths):
    return main_scores(study, paths) | tables(paths, "metric_agreement")


def _settings(study):
    return {**on_main(study), **looks(study)}


ENTRY = Product(
    kind="figure",
    shows="FVU against downstream preservation",
    reads=_reads,
    settings=_settings,
    over=over_main,
)
