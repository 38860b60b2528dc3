"""Figure 1b: Moran's I of every feature of the main sweep, by backbone, against the null."""

from visae.products.product import Product
from visae.products.sources import looks, main_metric, metrics_of, over_main


def _reads(study, paths):
    return {
        "scores": main_metric(study, paths, "localization"),
        "arrays": main_metric(study, paths, "localization", "npz"),
    }


ENTRY = Product(
    kind="figure",
    shows="Moran's I of every feature, by backbone, against the null",
    reads=_reads,
    settings=looks,
    over=over_main,
    needs=(metrics_of("localization"),),
)
