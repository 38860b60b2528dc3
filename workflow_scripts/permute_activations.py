"""Write the caches of a control: views of those in raster order, each image permuted."""

from visae.activations.permuted import write_permuted
from visae.base.job import run


def body(snakemake):
    files = zip(snakemake.input.caches, snakemake.output.caches, strict=True)
    for cache, path in files:
        write_permuted(path, cache, snakemake.wildcards.backbone, snakemake.params.seed)


run(body, snakemake)  # noqa: F821
