"""Draw M5 of every backbone in every evaluator's space."""

from visae.base.job import run
from visae.figures import evaluators, style
from visae.tables.evaluators import monosemanticity_by_evaluator
from visae.tables.scores import scores_table


def body(snakemake):
    rows = scores_table(snakemake.input.scores).rows
    table = monosemanticity_by_evaluator(rows, snakemake.params.sweep, snakemake.params.evaluators)
    figure = evaluators.draw(
        table.rows, style.backbone_styles(snakemake.params.labels, snakemake.params.backbones)
    )
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
