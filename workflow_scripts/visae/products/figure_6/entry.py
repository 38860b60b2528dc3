"""Figure 6: sparse probing of the main sweep over K and expansion factor."""

from visae.products.product import Product
from visae.products.sources import looks, main_scores, metrics_of, on_main, over_main


def _settings(study):
    return {**on_main(study), **looks(study)}


ENTRY = Product(
    kind="figure",
    shows="sparse probing over K and expansion factor",
    reads=main_scores,
    settings=_settings,
    over=over_main,
    needs=(metrics_of("sparse_probing"),),
)
