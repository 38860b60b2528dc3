"""Every metric against every downstream task: rank correlations over backbones."""

from visae.products.product import Product
from visae.products.sources import has_tasks, on_main, scores_and_tasks

ENTRY = Product(
    kind="table",
    shows="every metric against every downstream task",
    reads=scores_and_tasks,
    settings=on_main,
    wanted=has_tasks,
)


def make(inputs, settings):
    from visae.tables.correlations import correlations
    from visae.tables.downstream import read_downstream
    from visae.tables.scores import read_scores

    scores, rows = read_scores(inputs["scores"]), read_downstream(inputs["downstream"])
    return correlations(scores, rows, settings["sweep"])
