"""Encode some splits with all SAEs of a (sweep, backbone): one read of each split's activations."""

from pathlib import Path

from visae.activations.cache import read_statistics
from visae.activations.opening import open_activations
from visae.base.devices import take_device
from visae.base.job import run
from visae.encoding.sae_pass import encode_activations
from visae.sae.checkpoint import check_fits, load_sae


def body(snakemake):
    inputs, params = snakemake.input, snakemake.params
    folders = [Path(path).parent for path in inputs.saes]
    saes = {folder.name: load_sae(folder) for folder in folders}
    # SAEs from elsewhere may carry others.
    statistics = read_statistics(inputs.training) if inputs.training else None
    device, outputs = take_device(), iter(snakemake.output.reductions)
    splits = open_activations(inputs, params, snakemake.wildcards, snakemake.threads)
    for activations, moran in zip(splits, params.moran, strict=True):
        for folder, sae in zip(folders, saes.values(), strict=True):
            check_fits(sae, activations.info, folder)
        encode_activations(
            activations,
            {name: sae.model for name, sae in saes.items()},
            {name: next(outputs) for name in saes},
            sae_fingerprints={name: sae.fingerprint for name, sae in saes.items()},
            statistics=statistics,
            **(moran or {"minimum_active": []}),
            device=device,
            threads=snakemake.threads,
        )


run(body, snakemake)  # noqa: F821
