"""An SAE that was trained elsewhere becomes one of this workflow's, without training.

What its folder leaves open is settled on this study's activations: the statistics, and the
inference threshold by the same pooled quantile as for SAEs that are trained here.
"""

import torch

from visae.activations.format import check_same_activations
from visae.activations.normalisation import statistics_of
from visae.base.errors import UserError
from visae.sae.checkpoint import save_sae
from visae.sae.concerns import concerns
from visae.sae.describe import describe_data, describe_held_out, describe_sae
from visae.sae.exchange.foreign import read_foreign
from visae.sae.threshold import measure_thresholds


def import_sae(source, destination, reading, cache, held_out, settings, normalising=None):
    """Read the SAE in the folder `source` and write it to `destination` in this workflow's format.

    Returns what speaks against it (`visae.sae.concerns`), which its files say as well.

    reading: the sweep's `Reading`; a folder that states another SAE than its spec is refused.
    cache: open training `Cache` of the SAE's backbone and layer. held_out: open
    `Cache` on which L0 is measured, and the threshold where the folder states none.
    settings: TrainingSettings, of which `threshold_images` and the threshold's rule are used.
    normalising: open `Cache` whose statistics are used where the SAE's input is what this
    study normalises; by default `cache`. Errors are those of `read_foreign`.
    """
    normalising = normalising or cache
    mean, std = statistics_of(normalising)
    for other in (held_out, normalising):
        check_same_activations(cache.info, other.info)
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
    warnings = concerns(l0=threshold.l0, target=spec.k, imported=True)
    config = {
        **describe_sae(spec, model, threshold),
        "threshold": None if model.threshold.ndim else float(model.threshold),
        "source": foreign.source,
        "warnings": warnings,
        "data": describe_data(cache, normalising),
        "held_out": describe_held_out(held_out, settings, threshold),
    }
    inputs = cache.files + held_out.files + normalising.files
    save_sae(destination, model, config, log=[], inputs=inputs)
    return warnings
