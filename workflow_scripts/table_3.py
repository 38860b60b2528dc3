"""Table 3: what each metric's variance over the main sweep is made of."""

from visae.base.job import run
from visae.tables.layout import write
from visae.tables.paper import table_3
from visae.tables.scores import read_scores


def body(snakemake):
    rows, params = read_scores(snakemake.input.scores), snakemake.params
    table = table_3(rows, params.sweep, params.without, params.seed)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
