"""Table 2: what each metric computes, with the settings of this study."""

from visae.base.job import run
from visae.tables.layout import write
from visae.tables.settings import table_2


def body(snakemake):
    table = table_2(snakemake.params.config)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
