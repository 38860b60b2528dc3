"""What the study's own pretraining brought, backbone by backbone."""

from visae.base.job import run
from visae.tables.layout import write
from visae.tables.pretraining import pretraining_table


def body(snakemake):
    table = pretraining_table(snakemake.input.sanity)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
