"""Train all SAEs of a (sweep, backbone) from one pass over its training cache."""

import logging
from pathlib import Path

from visae.activations.format import check_compatible
from visae.activations.opening import open_cache, open_training
from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.sae.concerns import told
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.training import train_and_save


def body(snakemake):
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    inputs, params = snakemake.input, snakemake.params
    results, _ = paths.of_job(snakemake)
    with (
        open_training(inputs.cache, results, params, snakemake.threads) as cache,
        open_cache(inputs.held_out) as held_out,
        open_cache(inputs.statistics, whole=False) as normalising,
    ):
        check_compatible(cache.info, snakemake.wildcards.backbone, int(snakemake.wildcards.layer))
        warnings = train_and_save(
            [SaeSpec.from_text(text) for text in params.saes],
            cache,
            held_out,
            folder=Path(snakemake.output.saes[0]).parents[1],
            settings=TrainingSettings(
                **params.training,
                checkpoint_minutes=snakemake.config.get("training", {}).get(
                    "checkpoint_minutes", TrainingSettings.checkpoint_minutes
                ),
            ),
            device=take_device(),
            resume_path=params.resume,
            normalising=normalising,
        )
    return told(warnings)


run(body, snakemake)  # noqa: F821
