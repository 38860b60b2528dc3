"""Import SAEs that were trained elsewhere, one folder per SAE."""

from pathlib import Path

from visae.activations.format import check_compatible
from visae.activations.opening import open_cache
from visae.base.job import run
from visae.base.progress import counted
from visae.sae.concerns import told
from visae.sae.exchange.form import Reading
from visae.sae.exchange.importing import import_sae
from visae.sae.specs import SaeSpec, TrainingSettings


def body(snakemake):
    params, files, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    destination, warnings = Path(snakemake.output.saes[0]).parents[1], {}
    with (
        open_cache(files.cache, whole=False) as cache,
        open_cache(files.held_out) as held_out,
        open_cache(files.statistics, whole=False) as normalising,
    ):
        check_compatible(cache.info, wildcards.backbone, int(wildcards.layer))
        for spec in map(SaeSpec.from_text, counted(params.saes, "SAEs imported", len(params.saes))):
            warnings[spec.name] = import_sae(
                params.folders[spec.name],
                destination / spec.name,
                Reading.of_sweep(spec, params.reading),
                cache,
                held_out,
                TrainingSettings(**params.training),
                normalising,
            )
    return told(warnings)


run(body, snakemake)  # noqa: F821
