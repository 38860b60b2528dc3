"""An SAE that was trained elsewhere becomes one of this workflow's, without training.

What its folder leaves open is settled on this study's activations: their statistics, and the
inference threshold by the same pooled quantile as for SAEs that are trained here.
"""

import torch

from visae.activations.format import check_same_activations
from visae.activations.normalisation import statistics_of
from visae.base.errors import UserError
from visae.sae.checkpoint import save_sae
from visae.sae.describe import describe_data, describe_held_out, describe_sae
from visae.sae.exchange.foreign import read_foreign
from visae.sae.threshold import measure_thresholds


def import_sae(source, destination, reading, cache, held_out, settings):
    """Read the SAE in the folder `source` and write it to `destination` in this workflow's format.

    reading: the sweep's `Reading`; a folder that states another SAE than its spec is refused.
    cache: open training ActivationCache of the SAE's backbone and layer, whose statistics are used
    where that is how the SAE's input is normalised. held_out: open ActivationCache on which L0 is
    measured, and the threshold where the folder states none. settings: TrainingSettings, of which
    `threshold_images` is used. Errors are those of `read_foreign`.
    """
    mean, std = statistics_of(cache)
    check_same_activations(cache.info, held_out.info)
    statistics = (torch.from_numpy(mean), torch.tensor(std))
    foreign = read_foreign(source, reading, statistics, cache.info.layer)
    model, spec = foreign.model, reading.spec
    for note in foreign.source.get("notes", []):
        print(f"{source}: {note}")
    if model.width != cache.info.width:
        raise UserError(
            f"the SAE in {source} is for activations of width {model.width}, but those of "
            f"{cache.info.backbone} in {cache.path} have width {cache.info.width}: name the "
            "backbone that the SAE was trained on"
        )
    [threshold] = measure_thresholds(
        [model], [foreign.budget], held_out, settings.threshold_images, settings.threshold_batch
    )
    if threshold.value is not None:
        model.threshold = torch.tensor(threshold.value)
    config = {
        **describe_sae(spec, model, threshold),
        "threshold": None if model.threshold.ndim else float(model.threshold),
        "source": foreign.source,
        "data": describe_data(cache),
        "held_out": describe_held_out(held_out, settings, threshold),
    }
    save_sae(destination, model, config, log=[], inputs=cache.files + held_out.files)
