"""Collect every score of a sweep in one tidy table, and what all of them have in common."""

from visae.base.job import run
from visae.evals.provenance import common_origin, read_origin, remarks
from visae.tables.layout import write
from visae.tables.scores import scores_table, write_origin


def body(snakemake):
    scores, output = snakemake.input.scores, snakemake.output
    origin = common_origin({path: read_origin(path) for path in scores})
    write(scores_table(scores), {"csv": output.table}, scores)
    write_origin(output.origin, origin, scores)
    return remarks(origin)


run(body, snakemake)  # noqa: F821
