"""Figure 2a: FVU against downstream preservation, one point per SAE of the main sweep."""

from visae.products.product import Product
from visae.products.sources import (
    looks,
    main_scores,
    metrics_of,
    on_main,
    over_main,
    several_backbones,
    tables,
)


def _reads(study, paths):
    compared = {} if several_backbones(study) else tables(paths, "metric_agreement")
    return main_scores(study, paths) | compared


def _settings(study):
    return {**on_main(study), **looks(study)}


ENTRY = Product(
    kind="figure",
    shows="FVU against downstream preservation",
    reads=_reads,
    settings=_settings,
    over=over_main,
    needs=(metrics_of("fvu", "preservation"),),
)
