"""Every metric against every downstream task: rank correlations over backbones."""

from visae.products.product import Product
from visae.products.sources import downstream_tasks, on_main, scores_and_tasks, several_backbones

ENTRY = Product(
    kind="table",
    shows="every metric against every downstream task",
    reads=scores_and_tasks,
    settings=on_main,
    needs=(downstream_tasks, several_backbones),
)


def make(inputs, settings):
    from visae.tables.correlations import correlations
    from visae.tables.downstream import read_downstream
    from visae.tables.scores import read_scores

    scores, rows = read_scores(inputs["scores"]), read_downstream(inputs["downstream"])
    return correlations(scores, rows, settings["sweep"])
