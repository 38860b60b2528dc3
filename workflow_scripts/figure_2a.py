"""Figure 2a: FVU against downstream preservation, one point per SAE of the main sweep."""

from visae.base.job import run
from visae.figures import figure_2a, style
from visae.tables.scores import read_scores
from visae.tables.summaries import paired_scores


def body(snakemake):
    scores = read_scores(snakemake.input.scores)
    pairs = paired_scores(scores, snakemake.params.sweep, "fvu", "preservation")
    figure = figure_2a.draw(
        pairs.rows, style.backbone_styles(snakemake.params.labels, snakemake.params.backbones)
    )
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
