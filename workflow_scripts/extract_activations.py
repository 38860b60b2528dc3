"""Extract the patch activations of one block for one shard, or for all shards of some splits."""

from visae.job import run


def body(snakemake):
    raise NotImplementedError


run(body, snakemake)  # noqa: F821
