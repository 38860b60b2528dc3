"""Pool the raw activations of some splits, and compute Moran's I of their channels."""

from visae.activations.format import check_same_activations
from visae.activations.normalisation import statistics_of
from visae.activations.opening import open_activations, open_cache
from visae.base import paths
from visae.base.job import run
from visae.encoding.raw_pass import reduce_raw


def body(snakemake):
    params = snakemake.params
    results, place = paths.of_job(snakemake)
    with open_cache(snakemake.input.statistics, whole=False) as normalising:
        for split, activations in open_activations(results, place, params, snakemake.threads):
            check_same_activations(normalising.info, activations.info)
            reduce_raw(
                activations,
                *statistics_of(normalising),
                results.reductions(paths.RAW, split, place),
                **params.moran.get(split, {"minimum_active": []}),
                threads=snakemake.threads,
                inputs=[normalising.path],
            )


run(body, snakemake)  # noqa: F821
