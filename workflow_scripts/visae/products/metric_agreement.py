"""Do two metrics rank the backbones alike? Every pair of metrics."""

from visae.products.product import Product
from visae.products.sources import main_scores, on_main, several_backbones

ENTRY = Product(
    kind="table",
    shows="how far each two metrics rank the backbones alike",
    reads=main_scores,
    settings=on_main,
    needs=(several_backbones,),
)


def make(inputs, settings):
    from visae.tables.agreement import metric_agreement
    from visae.tables.scores import read_scores

    return metric_agreement(read_scores(inputs["scores"]), settings["sweep"])
