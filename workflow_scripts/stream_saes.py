"""Encode some splits with all SAEs of a (sweep, backbone) straight from their images."""

from pathlib import Path

from visae.activations.cache import read_statistics
from visae.activations.streaming import open_streams
from visae.backbones import BackboneSpec
from visae.base.devices import take_device
from visae.base.job import run
from visae.encoding.sae_pass import encode_cache
from visae.sae.checkpoint import check_fits, load_sae


def body(snakemake):
    params, wildcards = snakemake.params, snakemake.wildcards
    folders = [Path(path).parent for path in snakemake.input.saes]
    saes = {folder.name: load_sae(folder) for folder in folders}
    # SAEs from elsewhere may carry others.
    statistics = read_statistics(snakemake.input.training) if snakemake.input.training else None
    outputs, device = list(snakemake.output.reductions), take_device()
    streams = open_streams(
        BackboneSpec(wildcards.backbone, **params.backbone),
        int(wildcards.layer),
        params.splits,
        params.roots,
        snakemake.input.indices,
        snakemake.input.classes,
        device,
        snakemake.threads - 1,
        params.extraction,
    )
    for stream in streams:
        split_outputs, outputs = outputs[: len(saes)], outputs[len(saes) :]
        for folder, sae in zip(folders, saes.values(), strict=True):
            check_fits(sae, stream.info, folder)
        encode_cache(
            stream,
            {name: sae.model for name, sae in saes.items()},
            dict(zip(saes, split_outputs, strict=True)),
            sae_fingerprints={name: sae.fingerprint for name, sae in saes.items()},
            statistics=statistics,
            minimum_active=[],
            device=device,
            threads=snakemake.threads,
        )


run(body, snakemake)  # noqa: F821
