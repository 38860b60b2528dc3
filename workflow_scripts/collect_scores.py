"""Join the tables of all sweeps, if their scores can be compared, to the table of all scores."""

from visae.base.job import run
from visae.evals.provenance import remarks
from visae.tables.layout import write
from visae.tables.scores import joined, origin_of_sweeps


def body(snakemake):
    tables = snakemake.input.tables
    write(joined(tables), {"csv": snakemake.output.table}, tables)
    return remarks(origin_of_sweeps(tables))


run(body, snakemake)  # noqa: F821
