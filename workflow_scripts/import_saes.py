"""Import SAEs that were trained elsewhere, one folder per SAE of the sweep's grid."""

from pathlib import Path

from visae.activations.format import check_compatible
from visae.activations.opening import open_cache
from visae.base.job import run
from visae.sae.concerns import told
from visae.sae.exchange.form import Reading
from visae.sae.exchange.importing import import_sae
from visae.sae.specs import SaeSpec, TrainingSettings


def body(snakemake):
    params, files, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    destination, warnings = Path(snakemake.output.saes[0]).parents[1], {}
    with (
        open_cache(files.cache) as cache,
        open_cache(files.held_out) as held_out,
        open_cache(files.statistics) as normalising,
    ):
        check_compatible(cache.info, wildcards.backbone, int(wildcards.layer))
        for name in params.saes:
            warnings[name] = import_sae(
                Path(files.published) / name,
                destination / name,
                Reading.of_sweep(SaeSpec.from_name(name), params.reading),
                cache,
                held_out,
                TrainingSettings(**params.training),
                normalising,
            )
    return told(warnings)


run(body, snakemake)  # noqa: F821
