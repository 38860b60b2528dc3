"""What of each metric's variance is the seed of the pretraining."""

from visae.job import run
from visae.tables.layout import write
from visae.tables.replicates import replicates
from visae.tables.scores import read_scores


def body(snakemake):
    studies = dict(zip(snakemake.params.studies, snakemake.input.scores, strict=True))
    rows = {study: read_scores(path) for study, path in studies.items()}
    table = replicates(rows, snakemake.params.sweep)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
