"""Figure 8: which backbone for which downstream task, and the metric that foresees it."""

from visae.base.job import run
from visae.evals.shelf import labels
from visae.figures import figure_8, style
from visae.tables.correlations import correlations
from visae.tables.downstream import codes_values, read_downstream, task_values
from visae.tables.scores import read_scores
from visae.tables.selection import backbone_selection, turned


def body(snakemake):
    params, scores = snakemake.params, read_scores(snakemake.input.scores)
    rows, sweep = read_downstream(snakemake.input.downstream), params.sweep
    found = turned(correlations(scores, rows, sweep).rows)
    selected = backbone_selection(found, task_values(rows, sweep), codes_values(rows, sweep))
    styles = style.backbone_styles(params.labels, params.backbones)
    figure = figure_8.draw(selected.rows, labels(), params.tasks, styles)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
