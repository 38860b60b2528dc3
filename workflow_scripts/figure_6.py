"""Figure 6: sparse probing of the main sweep over K and expansion factor."""

from visae.base.job import run
from visae.figures import figure_6, style
from visae.tables.scores import headlines, read_scores


def body(snakemake):
    scores = read_scores(snakemake.input.scores)
    rows = headlines(scores, "sparse_probing", snakemake.params.sweep)
    figure = figure_6.draw(
        rows, style.backbone_styles(snakemake.params.labels, snakemake.params.backbones)
    )
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
