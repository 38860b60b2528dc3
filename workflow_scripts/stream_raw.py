"""Pool the raw activations of some splits straight from their images, without a cache."""

from visae.activations.cache import ActivationCache, check_same_activations
from visae.activations.streaming import open_streams
from visae.backbones import BackboneSpec
from visae.base.devices import take_device
from visae.base.job import run
from visae.encoding.raw_pass import reduce_raw


def body(snakemake):
    params, wildcards = snakemake.params, snakemake.wildcards
    streams = open_streams(
        BackboneSpec(wildcards.backbone, **params.backbone),
        int(wildcards.layer),
        params.splits,
        params.roots,
        snakemake.input.indices,
        snakemake.input.classes,
        take_device(),
        snakemake.threads - 1,
        params.extraction,
    )
    with ActivationCache(snakemake.input.training) as training:
        for stream, output in zip(streams, snakemake.output.reductions, strict=True):
            check_same_activations(training.info, stream.info)
            reduce_raw(
                stream,
                training.mean,
                training.std,
                output,
                minimum_active=[],
                threads=snakemake.threads,
            )


run(body, snakemake)  # noqa: F821
