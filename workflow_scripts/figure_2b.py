"""Figure 2b: which metric foresees which downstream task, over backbones."""

from visae.base.job import run
from visae.evals.shelf import labels
from visae.figures import figure_2b, style
from visae.tables.correlations import correlations, registered_cells
from visae.tables.downstream import read_downstream
from visae.tables.scores import read_scores
from visae.tables.selection import turned


def body(snakemake):
    params, scores = snakemake.params, read_scores(snakemake.input.scores)
    found = correlations(scores, read_downstream(snakemake.input.downstream), params.sweep)
    cells = registered_cells(params.datasets)
    figure = figure_2b.draw(turned(found.rows), labels(), params.tasks, cells)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
