"""Table 7: M7 over its two thresholds."""

from visae.base.job import run
from visae.tables.layout import write
from visae.tables.scores import read_scores
from visae.tables.thresholds import table_7


def body(snakemake):
    rows = read_scores(snakemake.input.scores)
    table = table_7(rows, snakemake.params.sweep, snakemake.params.labels)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
