"""Table 5: which backbone's space scores whose SAEs in M5."""

from visae.base.job import run
from visae.tables.evaluators import table_5
from visae.tables.layout import write


def body(snakemake):
    table = table_5(snakemake.params.backbones)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
