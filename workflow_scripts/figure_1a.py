"""Figure 1a: normalised scores of the main sweep on the seven metrics, by backbone."""

from visae.base.job import run
from visae.evals.shelf import labels
from visae.figures import figure_1a, style
from visae.tables.scores import read_scores
from visae.tables.summaries import backbone_means


def body(snakemake):
    means = backbone_means(read_scores(snakemake.input.scores), snakemake.params.sweep)
    styles = style.backbone_styles(snakemake.params.labels, snakemake.params.backbones)
    figure = figure_1a.draw(means.rows, labels(), styles)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
