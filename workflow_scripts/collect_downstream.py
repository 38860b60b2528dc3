"""Collect every downstream result of the study in one tidy table."""

from visae.base.job import run
from visae.evals.provenance import common_origin, read_origin, remarks
from visae.tables.downstream import downstream_table
from visae.tables.layout import write


def body(snakemake):
    results = snakemake.input.results
    origin = common_origin({path: read_origin(path) for path in results})
    write(downstream_table(results), {"csv": snakemake.output.table}, results)
    return remarks(origin)


run(body, snakemake)  # noqa: F821
