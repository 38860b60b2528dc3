"""What of each metric's variance is the seed of the pretraining."""

from visae.base.job import run
from visae.tables.layout import write
from visae.tables.replicates import read_studies, replicates


def body(snakemake):
    studies = read_studies(snakemake.params.studies, snakemake.input.scores)
    table = replicates(studies, snakemake.params.sweep)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
