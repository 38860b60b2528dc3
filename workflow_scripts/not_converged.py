"""JumpReLU SAEs that missed their target L0, which comparisons leave out."""

from visae.base.job import run
from visae.tables.family import not_converged
from visae.tables.layout import write
from visae.tables.scores import read_scores


def body(snakemake):
    table = not_converged(read_scores(snakemake.input.scores), snakemake.params.sweeps)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
