"""Encode some splits with all SAEs of a (sweep, backbone): one read of each split's activations."""

from pathlib import Path

from visae.activations.opening import open_activations, read_statistics
from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.encoding.sae_pass import encode_activations
from visae.sae.checkpoint import check_fits, load_sae
from visae.sae.folder import WEIGHTS


def body(snakemake):
    inputs, params = snakemake.input, snakemake.params
    results, place = paths.of_job(snakemake)
    folders = {folder.name: folder for folder in (Path(path).parent for path in inputs.saes)}
    saes = {name: load_sae(folder) for name, folder in folders.items()}
    # SAEs from elsewhere may carry others.
    normalised_by = [inputs.statistics] if inputs.statistics else []
    statistics = read_statistics(*normalised_by) if normalised_by else None
    device = take_device()
    for split, activations in open_activations(results, place, params, snakemake.threads):
        for name, sae in saes.items():
            check_fits(sae, activations.info, folders[name])
        encode_activations(
            activations,
            {name: sae.model for name, sae in saes.items()},
            {name: results.reductions(name, split, place) for name in saes},
            sae_fingerprints={name: sae.fingerprint for name, sae in saes.items()},
            warnings={name: sae.warnings for name, sae in saes.items()},
            statistics=statistics,
            inputs={name: [folder / WEIGHTS, *normalised_by] for name, folder in folders.items()},
            **params.moran.get(split, {"minimum_active": []}),
            device=device,
            threads=snakemake.threads,
        )


run(body, snakemake)  # noqa: F821
