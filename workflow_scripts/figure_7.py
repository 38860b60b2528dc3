"""Figure 7: per downstream task, how well each metric foresees it."""

from visae.base.job import run
from visae.evals.shelf import labels
from visae.figures import figure_7, style
from visae.tables.correlations import correlations
from visae.tables.downstream import read_downstream
from visae.tables.scores import read_scores
from visae.tables.selection import turned


def body(snakemake):
    params, scores = snakemake.params, read_scores(snakemake.input.scores)
    found = correlations(scores, read_downstream(snakemake.input.downstream), params.sweep)
    figure = figure_7.draw(turned(found.rows), labels(), params.tasks)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
