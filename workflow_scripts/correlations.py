"""Every metric against every downstream task: rank correlations over backbones."""

from visae.base.job import run
from visae.tables.correlations import correlations
from visae.tables.downstream import read_downstream
from visae.tables.layout import write
from visae.tables.scores import read_scores


def body(snakemake):
    scores = read_scores(snakemake.input.scores)
    rows = read_downstream(snakemake.input.downstream)
    table = correlations(scores, rows, snakemake.params.sweep)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
