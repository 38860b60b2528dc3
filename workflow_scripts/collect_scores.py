"""Collect every score of the study in one tidy table."""

from visae.job import run
from visae.provenance import check_comparable
from visae.tables.layout import write
from visae.tables.scores import scores_table


def body(snakemake):
    remarks = check_comparable(snakemake.input.scores)
    write(scores_table(snakemake.input.scores), snakemake.output.table)
    return "".join(f"  {remark}\n" for remark in remarks)


run(body, snakemake)  # noqa: F821
