"""Two families of SAEs at matched L0: FVU, sparse probing, dead features."""

from visae.base.job import run
from visae.tables.family import family_differences
from visae.tables.layout import write
from visae.tables.scores import read_scores


def body(snakemake):
    table = family_differences(read_scores(snakemake.input.scores), *snakemake.params.sweeps)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
