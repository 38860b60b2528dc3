"""Table 8: do backbones with weaker raw features gain more from their SAEs' codes?"""

from visae.base.job import run
from visae.tables.correlations import table_8
from visae.tables.downstream import codes_lift, read_downstream
from visae.tables.layout import write


def body(snakemake):
    lifts = codes_lift(read_downstream(snakemake.input.downstream), snakemake.params.sweep)
    write(table_8(lifts.rows), *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
