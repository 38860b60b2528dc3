"""overcomplete (0.3.0; its `sae/*.py`): a state dict, and no config.

Codes are those after `load_state_dict` and `eval()`, which fuses the dictionary. JumpSAE's
thresholds are logarithms. K and the running threshold are in no file.
"""

from typing import Any

from visae.sae.exchange.form import ForeignSae
from visae.sae.exchange.libraries.visaebench.read import (
    SCALAR_THRESHOLD,
    feature_thresholds,
    scalar_threshold,
    stated_family,
    stated_size,
    statistics,
)

_ENCODER = ("encoder.final_block.0.weight", "encoder.final_block.0.bias")


def recognises(folder):
    return any(name.startswith("dictionary.") for name in folder.tensors)


def read(folder, reading):
    if not folder.holds(_ENCODER[0]):
        folder.refuse(
            "has a dictionary and no encoder (matching pursuit)",
            "its codes are searched for, which no linear encoder expresses; name another SAE",
        )
    weight, bias = (folder.take(name) for name in _ENCODER)
    jumps = "jumprelu" if folder.holds("thresholds") else None  # no other class has them
    family = stated_family(folder) or jumps or reading.spec.family
    rule = _rule(folder, reading, family)
    mean, std, given = statistics(folder)
    return ForeignSae(
        family=family,
        encoder=weight,
        encoder_bias=bias,
        decoder=_dictionary(folder),
        **rule,
        mean=mean,
        std=std,
        # The released SAEs have a config beside the state dict; the library itself writes none.
        input=given or ("training_cache" if folder.config else None),
        **stated_size(folder),
    )


def _dictionary(folder):
    """The decoder [F, D] that the library fuses on eval()."""
    scale = folder.take_any("dictionary.multiplier")
    scale = 1 if scale is None else scale.exp()
    if folder.holds("dictionary.W"):
        # An archetypal dictionary: convex combinations of points C, and rows of norm up to 1.
        weights = folder.matrix("dictionary.W").relu()
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-8)
        relaxed = folder.matrix("dictionary.Relax")
        norms = relaxed.norm(dim=-1, keepdim=True)
        relaxed = relaxed * (1 / norms).clamp(max=1)
        return (weights @ folder.matrix("dictionary.C") + relaxed) * scale
    rows = folder.matrix("dictionary._weights")
    return rows / (rows.norm(dim=-1, keepdim=True) + 1e-8) * scale


def _rule(folder, reading, family) -> dict[str, Any]:
    if family == "jumprelu":
        if folder.holds("thresholds"):
            return {"threshold": folder.take("thresholds").exp()}
        return feature_thresholds(folder, reading)
    if family == "topk":
        folder.drop(SCALAR_THRESHOLD)
        return {"activation": "topk", "k": reading.spec.k}
    threshold = scalar_threshold(folder)
    if family == "relu":
        return {"threshold": threshold}
    return {"k": reading.spec.k, "threshold": threshold, "measured": threshold is None}
