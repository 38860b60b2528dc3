"""Collect every score of the study in one tidy table."""

from visae.job import run
from visae.tables.layout import write
from visae.tables.scores import scores_table


def body(snakemake):
    write(scores_table(snakemake.input.scores), snakemake.output.table)


run(body, snakemake)  # noqa: F821
