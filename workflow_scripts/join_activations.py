"""Check every shard of some caches and join them."""

from visae.activations.shards import join_shards
from visae.base.job import run


def body(snakemake):
    shards = list(snakemake.input.shards)
    for path, count, statistics in zip(
        snakemake.output.caches, snakemake.params.shards, snakemake.params.statistics, strict=True
    ):
        join_shards(shards[:count], path, statistics)
        del shards[:count]


run(body, snakemake)  # noqa: F821
