"""Collect every downstream result of the study in one tidy table."""

from visae.job import run
from visae.provenance import check_comparable
from visae.tables.downstream import downstream_table
from visae.tables.layout import write


def body(snakemake):
    remarks = check_comparable(snakemake.input.results)
    write(downstream_table(snakemake.input.results), snakemake.output.table)
    return "".join(f"  {remark}\n" for remark in remarks)


run(body, snakemake)  # noqa: F821
