"""Pool the raw activations of some splits, and compute Moran's I of their channels."""

from visae.activations.cache import ActivationCache, check_same_activations
from visae.base.job import run
from visae.encoding.raw_pass import reduce_raw


def body(snakemake):
    params = snakemake.params
    with ActivationCache(snakemake.input.training) as training:
        for path, output, moran in zip(
            snakemake.input.caches, snakemake.output.reductions, params.moran, strict=True
        ):
            with ActivationCache(path) as cache:
                check_same_activations(training.info, cache.info)
                reduce_raw(
                    cache,
                    training.mean,
                    training.std,
                    output,
                    **(moran or {"minimum_active": []}),
                    threads=snakemake.threads,
                )


run(body, snakemake)  # noqa: F821
