"""Table 6: accuracy on other data sets, of raw features and of reconstructions."""

from visae.base.job import run
from visae.tables.downstream import read_downstream, table_6
from visae.tables.layout import write


def body(snakemake):
    table = table_6(read_downstream(snakemake.input.downstream), snakemake.params.sweep)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
