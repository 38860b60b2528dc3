"""Figure 3: share of each metric's variance that backbone and hyperparameters explain."""

from visae.products.product import Product
from visae.products.sources import PUBLISHED, is_judged, metrics, over_main, tables


def _reads(study, paths):
    printed = {"published": PUBLISHED} if is_judged(study) else {}
    return tables(paths, "table_3") | printed


ENTRY = Product(
    kind="figure",
    shows="share of each metric's variance by backbone and hyperparameters",
    reads=_reads,
    settings=metrics,
    over=over_main,
)
