"""The layout that visaebench 0.1.0 documents, in which this workflow exports, and its own SAEs.

`sae.pt`, `model.safetensors` or `model.pt` with `encoder.weight` [F, D], `encoder.bias` [F],
`decoder.weight` [F, D], and a config. Activations are normalised before: by `activation_mean` and
`activation_std` in the files, or by the training cache.
"""

import math
from typing import Any

from visae.base.errors import UserError
from visae.sae.checkpoint import FEATURE_THRESHOLDS, FORMAT, SCALAR_THRESHOLD
from visae.sae.exchange.folder import STATISTICS, numbers
from visae.sae.exchange.form import FAMILY, THRESHOLD_SCALES, ForeignSae

# What the configs of the published code call the same thing.
FAMILY_KEYS = (FAMILY, "activation", "sae_type", "architecture")
WIDTH_KEYS, FEATURE_KEYS = ("input_dim", "d_model"), ("hidden_dim", "dict_size")


def recognises(folder):
    others = ("trainer", "num_latents", "act_size", "d_sae", "hook_point_layer")
    named = "encoder.weight" in folder.tensors and "decoder.weight" in folder.tensors
    return named and "latent_bias" not in folder.tensors and not folder.config.keys() & {*others}


def read(folder, reading):
    encoder, bias = folder.matrix("encoder.weight"), folder.take("encoder.bias")
    decoder = folder.matrix("decoder.weight")
    if decoder.shape == encoder.T.shape != encoder.shape:
        decoder = decoder.T  # as the package does; a square decoder is [features, width]
    own, family = folder.config.get("format") == FORMAT, stated_family(folder)
    inference = folder.config.get("inference", {}) if own else {}
    rule = _rule(folder, reading, family or reading.spec.family)
    mean, std, given = statistics(folder)
    return ForeignSae(
        family=family or reading.spec.family,
        encoder=encoder,
        encoder_bias=bias,
        decoder=decoder,
        decoder_bias=folder.take_any("decoder.bias"),
        **rule | inference,
        mean=mean,
        std=std,
        input=given or "training_cache",
        **stated_size(folder),
    )


def stated_family(folder):
    """The family that the config states, or None."""
    for key in FAMILY_KEYS:
        if folder.config.get(key) is not None:
            return str(folder.config[key]).lower()
    return None


def stated_size(folder) -> dict[str, Any]:
    """{features, width} as the config states them."""
    config = folder.config

    def first(keys):
        return next((config[key] for key in keys if config.get(key) is not None), None)

    return {"features": first(FEATURE_KEYS), "width": first(WIDTH_KEYS)}


def statistics(folder):
    """(mean [D], std [], `folder`) of the files, or three None."""
    found = [folder.take_any(name) for name in STATISTICS]
    found = [
        folder.config.get(name) if value is None else value
        for name, value in zip(STATISTICS, found, strict=True)
    ]
    if found == [None, None]:
        return None, None, None
    if any(value is None for value in found):
        raise UserError(
            f"{folder.path} holds only one of {' and '.join(STATISTICS)}: an SAE needs both to "
            "normalise its input"
        )
    mean = numbers(found[0], STATISTICS[0], folder.path, dimensions=1)
    return mean, numbers(found[1], STATISTICS[1], folder.path), "folder"


def scalar_threshold(folder):
    """The threshold [] that weights or config state, or None."""
    values = [folder.take_any(SCALAR_THRESHOLD), folder.config.get("threshold")]
    values = [numbers(v, "the threshold", folder.path) for v in values if v is not None]
    if len(values) == 2 and not math.isclose(*values, rel_tol=1e-6, abs_tol=1e-12):
        raise UserError(
            f"{folder.weights} has {SCALAR_THRESHOLD} {values[0]:.6g}, but the config beside it "
            f"states threshold {values[1]:.6g}: remove the wrong one"
        )
    return values[0] if values else None


def _rule(folder, reading, family) -> dict[str, Any]:
    k = folder.config.get("k")
    if folder.config.get("format") == FORMAT:  # kept at the threshold, whatever the family
        per_feature = folder.take_any(FEATURE_THRESHOLDS)
        return {
            "k": k,
            "threshold": scalar_threshold(folder) if per_feature is None else per_feature,
        }
    if family == "jumprelu" or FEATURE_THRESHOLDS in folder.tensors:
        return feature_thresholds(folder, reading)
    threshold = scalar_threshold(folder)
    if family == "relu":
        return {"threshold": threshold}
    if family == "topk" and threshold is None:
        return {"activation": "topk", "k": k or reading.spec.k}
    return {"k": k, "threshold": threshold, "measured": threshold is None}


def feature_thresholds(folder, reading) -> dict[str, Any]:
    """The fields of a ForeignSae with thresholds [F], or with their logarithms."""
    names = [name for name in (FEATURE_THRESHOLDS, "thresholds") if name in folder.tensors]
    if len(names) != 1:
        raise UserError(
            f"{folder.weights} holds {' and '.join(names) or 'neither'} of {FEATURE_THRESHOLDS} "
            "and thresholds: a JumpReLU SAE has exactly one of them"
        )
    values = folder.take(names[0])
    scale = reading.threshold_scale
    if scale is None and (names[0] != FEATURE_THRESHOLDS or not (values >= 0).all()):
        raise UserError(
            f"{names[0]} in {folder.weights} lie between {float(values.min()):.3g} and "
            f"{float(values.max()):.3g}, and may be thresholds or their logarithms: say which with "
            f"reading.threshold_scale, {' or '.join(THRESHOLD_SCALES)}"
        )
    if scale == "log":
        return {"threshold": values.exp()}
    # The package keeps codes above their threshold, this workflow those at it as well.
    return {"threshold": values, "strict": True}
