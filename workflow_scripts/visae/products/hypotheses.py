"""The verdicts on the hypotheses that the paper fixed in advance (section 4.5)."""

from visae.products.product import Product
from visae.products.sources import downstream_tasks, on_main, scores_and_tasks, several_backbones
from visae.study import roles


def _settings(study):
    return {**on_main(study), "datasets": roles.paper_datasets(study)}


ENTRY = Product(
    kind="table",
    shows="the verdicts on H1 to H4",
    reads=scores_and_tasks,
    settings=_settings,
    needs=(downstream_tasks, several_backbones),
)


def make(inputs, settings):
    from visae.tables.correlations import hypotheses_table, metric_values, transfer_values
    from visae.tables.downstream import read_downstream, task_values
    from visae.tables.scores import read_scores

    scores, sweep = read_scores(inputs["scores"]), settings["sweep"]
    tasks = task_values(read_downstream(inputs["downstream"]), sweep)
    return hypotheses_table(
        metric_values(scores, sweep), tasks | transfer_values(scores, sweep), settings["datasets"]
    )
