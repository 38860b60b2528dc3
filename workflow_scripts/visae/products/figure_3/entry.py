"""Figure 3: share of each metric's variance that backbone and hyperparameters explain."""

from visae.products.product import Product
from visae.products.sources import (
    PUBLISHED,
    judged_claims,
    metrics,
    over_main,
    several_backbones,
    several_saes,
    tables,
)


def _reads(study, paths):
    printed = {} if judged_claims(study) else {"published": PUBLISHED}
    return tables(paths, "table_3") | printed


ENTRY = Product(
    kind="figure",
    shows="share of each metric's variance by backbone and hyperparameters",
    reads=_reads,
    settings=metrics,
    needs=(several_backbones, several_saes),
    over=over_main,
)
