"""Every metric by backbone: mean over the main sweep, rank, place between worst and best."""

from visae.products.product import Product
from visae.products.sources import main_scores, on_main

ENTRY = Product(
    kind="table",
    shows="every metric by backbone, ranked and normalised",
    reads=main_scores,
    settings=on_main,
)


def make(inputs, settings):
    from visae.tables.scores import read_scores
    from visae.tables.summaries import backbone_means

    return backbone_means(read_scores(inputs["scores"]), settings["sweep"])
