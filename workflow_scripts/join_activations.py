"""Check every shard of some caches and join them."""

from visae.activations.shards import join_shards
from visae.base import paths
from visae.base.job import run


def body(snakemake):
    results, place = paths.of_job(snakemake)
    for name, (count, statistics) in snakemake.params.splits.items():
        shards = [results.shard(name, number, count, place) for number in range(count)]
        join_shards(shards, results.cache(name, place), statistics)


run(body, snakemake)  # noqa: F821
