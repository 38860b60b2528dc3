"""Write the demo's data sets: real photographs in the on-disk layouts of the real data sets."""

from visae.base.job import run
from visae.images.demo_data import write_demo_data


def body(snakemake):
    write_demo_data(snakemake.output.folder, seed=snakemake.params.seed)


run(body, snakemake)  # noqa: F821
