"""Check every shard of some caches and join them."""

from visae.activations.shards import join_shards
from visae.base import paths
from visae.base.job import run


def body(snakemake):
    results, place = paths.of_job(snakemake)
    for name, (count, statistics, kept) in snakemake.params.splits.items():
        shards, measured = (
            [results.shard(name, number, count, place, as_kept) for number in range(count)]
            for as_kept in (True, False)
        )
        join_shards(shards, results.cache(name, place), statistics, None if kept else measured)


run(body, snakemake)  # noqa: F821
