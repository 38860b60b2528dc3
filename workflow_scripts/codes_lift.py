"""What all codes of an SAE achieve on the downstream tasks, relative to raw features."""

from visae.base.job import run
from visae.tables.downstream import codes_lift, read_downstream
from visae.tables.layout import write


def body(snakemake):
    table = codes_lift(read_downstream(snakemake.input.downstream), snakemake.params.sweep)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
