"""Every metric by backbone and seed of the pretraining."""

from visae.base.job import run
from visae.tables.layout import write
from visae.tables.replicates import read_studies, replicate_means


def body(snakemake):
    studies = read_studies(snakemake.params.studies, snakemake.input.scores)
    table = replicate_means(studies, snakemake.params.sweeps)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
