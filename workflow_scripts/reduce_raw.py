"""Pool the raw activations of some splits, and compute Moran's I of their channels."""

from visae.activations.cache import ActivationCache
from visae.activations.format import check_same_activations
from visae.activations.opening import open_activations
from visae.base.job import run
from visae.encoding.raw_pass import reduce_raw


def body(snakemake):
    inputs, params = snakemake.input, snakemake.params
    splits = open_activations(inputs, params, snakemake.wildcards, snakemake.threads)
    jobs = zip(splits, snakemake.output.reductions, params.moran, strict=True)
    with ActivationCache(inputs.training) as training:
        for activations, output, moran in jobs:
            check_same_activations(training.info, activations.info)
            reduce_raw(
                activations,
                training.mean,
                training.std,
                output,
                **(moran or {"minimum_active": []}),
                threads=snakemake.threads,
            )


run(body, snakemake)  # noqa: F821
