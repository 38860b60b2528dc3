"""Encode some splits with all SAEs of a (sweep, backbone): one read of each cache."""

from pathlib import Path

from visae.activations.cache import ActivationCache, read_statistics
from visae.base.devices import take_device
from visae.base.job import run
from visae.encoding.sae_pass import encode_cache
from visae.sae.checkpoint import check_fits, load_sae


def body(snakemake):
    params = snakemake.params
    folders = [Path(path).parent for path in snakemake.input.saes]
    saes = {folder.name: load_sae(folder) for folder in folders}
    # SAEs from elsewhere may carry others.
    statistics = read_statistics(snakemake.input.training) if snakemake.input.training else None
    outputs, device = list(snakemake.output.reductions), take_device()
    for path, moran in zip(snakemake.input.caches, params.moran, strict=True):
        split_outputs, outputs = outputs[: len(saes)], outputs[len(saes) :]
        with ActivationCache(path) as cache:
            for folder, sae in zip(folders, saes.values(), strict=True):
                check_fits(sae, cache.info, folder)
            encode_cache(
                cache,
                {name: sae.model for name, sae in saes.items()},
                dict(zip(saes, split_outputs, strict=True)),
                sae_fingerprints={name: sae.fingerprint for name, sae in saes.items()},
                statistics=statistics,
                **(moran or {"minimum_active": []}),
                device=device,
                threads=snakemake.threads,
            )


run(body, snakemake)  # noqa: F821
