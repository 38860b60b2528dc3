"""Collect every downstream result of the study in one tidy table."""

from visae.job import run
from visae.tables.downstream import downstream_table
from visae.tables.layout import write


def body(snakemake):
    write(downstream_table(snakemake.input.results), snakemake.output.table)


run(body, snakemake)  # noqa: F821
