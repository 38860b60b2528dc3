"""Collect every score of a sweep in one tidy table, and what all of them have in common."""

from visae.base.job import run
from visae.evals.provenance import common_origin, read_origin, remarks
from visae.evals.results import described
from visae.tables.layout import write
from visae.tables.scores import scores_table, write_origin
from visae.tables.tidy import absent_rows


def body(snakemake):
    scores, params, output = snakemake.input.scores, snakemake.params, snakemake.output
    origin = common_origin({path: read_origin(path) for path in scores})
    absent = absent_rows([described(*sae) for sae in params.saes], params.absent)
    write(scores_table(scores, absent), {"csv": output.table}, scores)
    write_origin(output.origin, origin, scores)
    return remarks(origin)


run(body, snakemake)  # noqa: F821
