"""Figure 4: an early layer against the main one, metric by metric."""

from visae.base.job import run
from visae.evals.shelf import labels
from visae.figures import figure_4, style
from visae.tables.scores import read_scores
from visae.tables.summaries import layer_comparison


def body(snakemake):
    params = snakemake.params
    compared = layer_comparison(read_scores(snakemake.input.scores), *params.sweeps)
    styles = style.backbone_styles(params.labels, params.backbones)
    figure = figure_4.draw(compared.rows, labels(), params.layers, styles)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
