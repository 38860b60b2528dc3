"""M5 of every backbone in every evaluator's space."""

from visae.base.job import run
from visae.tables.evaluators import monosemanticity_by_evaluator
from visae.tables.layout import write
from visae.tables.scores import scores_table


def body(snakemake):
    rows = scores_table(snakemake.input.scores).rows
    table = monosemanticity_by_evaluator(rows, snakemake.params.sweep, snakemake.params.evaluators)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
