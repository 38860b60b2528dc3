"""From any library's rule to the SAE of this workflow: biases, norms and gates become its tensors.

With x = (a − mean) / std and code = ReLU(pre) where pre ≥ θ: the decoder's bias is the mean; a
pre-bias that differs from it goes into the encoder's bias; "above" becomes "at or above the next
float"; a gate becomes a threshold of its magnitude.
"""

import math

import torch

from visae.base.errors import UserError
from visae.sae.model import ACTIVATION_RULES, INPUT_NORMALISATIONS, SparseAutoencoder

_NAMES = {"mean": "activation_mean", "std": "activation_std"}
"""Fields of a ForeignSae that files call otherwise."""


def above(threshold):
    """The smallest thresholds whose "at or above" is "above" these."""
    return threshold.nextafter(torch.tensor(math.inf))


def gated(encoder, gate_bias, magnitude_bias, log_scale):
    """Fields of a ForeignSae with codes ReLU(exp(r)·h + b_mag) where h + b_gate > 0.

    encoder: [F, D]; gate_bias, magnitude_bias, log_scale r: [F]. The gate is open where
    exp(r)·h + b_mag lies above b_mag − exp(r)·b_gate.
    """
    scale = log_scale.exp()
    return {
        "encoder": encoder * scale[:, None],
        "encoder_bias": magnitude_bias,
        "threshold": magnitude_bias - scale * gate_bias,
        "strict": True,
    }


def scaled_by_decoder_norms(encoder, encoder_bias, decoder):
    """(encoder, bias, decoder) of an SAE whose codes are multiplied by its decoder rows' norms."""
    norms = decoder.norm(dim=1)
    return encoder * norms[:, None], encoder_bias * norms, decoder / norms[:, None]


def fold(sae, folder):
    """The SparseAutoencoder that computes what the ForeignSae of `folder` (a path) says.

    Its threshold is 0 where the files state none. Raises UserError when tensors do not fit each
    other or the config, or are not finite.
    """
    _check(sae, folder)
    width = sae.encoder.shape[1]
    decoder_bias = torch.zeros(width) if sae.decoder_bias is None else sae.decoder_bias
    pre_bias = torch.zeros(width) if sae.pre_bias is None else sae.pre_bias
    bias = sae.encoder_bias
    if not torch.equal(pre_bias, decoder_bias):
        bias = bias + sae.encoder @ (decoder_bias - pre_bias)
    threshold = torch.zeros(()) if sae.threshold is None else sae.threshold
    if sae.strict:
        threshold = above(threshold)
    std = torch.ones(()) if sae.std is None else sae.std
    mean = decoder_bias * std if sae.mean is None else sae.mean + std * decoder_bias
    return SparseAutoencoder(
        sae.encoder.contiguous(),
        bias.contiguous(),
        sae.decoder.contiguous(),
        threshold,
        mean,
        std,
        sae.activation,
        None if sae.activation == "threshold" else sae.k,
        sae.input_normalisation,
    )


def _check(sae, folder):
    encoder, bias = sae.encoder, sae.encoder_bias
    if encoder.ndim != 2 or bias.shape != encoder.shape[:1]:
        raise UserError(
            f"the encoder in {folder} has a weight {list(encoder.shape)} and a bias "
            f"{list(bias.shape)}, which are not [features, width] and [features]: transpose the "
            "weight or fetch the file again"
        )
    features, width = encoder.shape
    for what, expected, found in (
        ("features", sae.features, features),
        ("width", sae.width, width),
    ):
        if expected is not None and expected != found:
            raise UserError(
                f"the encoder in {folder} is [{features}, {width}], but its config states "
                f"{expected} for its {what}: config and weights are of different SAEs"
            )
    shapes = {
        "encoder": (features, width),
        "encoder_bias": (features,),
        "decoder": (features, width),
        "pre_bias": (width,),
        "decoder_bias": (width,),
        "mean": (width,),
        "std": (),
    }
    if sae.threshold is not None and sae.threshold.ndim:
        shapes["threshold"] = (features,)
    for name in (*shapes, "threshold"):
        tensor, called = getattr(sae, name), _NAMES.get(name, name)
        if tensor is None:
            continue
        if name in shapes and tuple(tensor.shape) != shapes[name]:
            raise UserError(
                f"{called} of the SAE in {folder} has shape {list(tensor.shape)}, which does not "
                f"fit its encoder [{features}, {width}]: fetch its files again"
            )
        if not tensor.isfinite().all():
            raise UserError(
                f"{called} of the SAE in {folder} holds NaN or infinity: it cannot be evaluated"
            )
    if sae.std is not None and sae.std <= 0:
        raise UserError(
            f"activation_std of the SAE in {folder} is {float(sae.std):.3g}, which has to be "
            "positive: correct it"
        )
    if (
        sae.activation not in ACTIVATION_RULES
        or sae.input_normalisation not in INPUT_NORMALISATIONS
    ):
        raise UserError(
            f"the SAE in {folder} states the activation {sae.activation!r} and the normalisation "
            f"{sae.input_normalisation!r}: fetch its config again"
        )
    if sae.activation != "threshold" and sae.k is None:
        raise UserError(f"{folder} does not state K: name it in the sweep's grid, as k")
    grouped = sae.activation == "group_max"
    if sae.activation != "threshold" and (sae.k > features or (grouped and features % sae.k)):
        raise UserError(
            f"the SAE in {folder} has {features} features and K {sae.k}, which do not go together: "
            "correct K in the config or the sweep's grid"
        )
