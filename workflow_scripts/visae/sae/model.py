"""A trained SAE at inference: the rule of the families trained here, and those of other libraries.

Every SAE that is trained here keeps codes at or above a threshold. SAEs of other libraries may
keep the K largest of each token instead, or normalise each token first; both are said by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from visae.activations.normalisation import denormalise, normalise
from visae.base.arrays import Float

LAYER_NORM_EPSILON = 1e-5
"""Added to the standard deviation by every library that normalises tokens."""


def _scattered(pre, values, indices):
    return torch.zeros_like(pre).scatter_(-1, indices, values)


def _topk(pre, k):
    values, indices = pre.topk(k, dim=-1, sorted=False)
    return _scattered(pre, values.relu(), indices)


def _signed_topk(pre, k):
    return _scattered(pre, *pre.topk(k, dim=-1, sorted=False))


def _abs_topk(pre, k):
    indices = pre.abs().topk(k, dim=-1, sorted=False).indices
    return _scattered(pre, pre.gather(-1, indices), indices)


def _group_max(pre, k):
    values, winners = pre.relu().unflatten(-1, (k, -1)).max(dim=-1)
    first = torch.arange(k, device=pre.device) * (pre.shape[-1] // k)
    return _scattered(pre, values, winners + first)


SELECTIONS = {
    "topk": _topk,
    "signed_topk": _signed_topk,
    "abs_topk": _abs_topk,
    "group_max": _group_max,
}
"""Activation → codes [..., F] of pre-activations [..., F] and K.

topk: ReLU of the K largest. signed_topk: the K largest, negative ones too. abs_topk: the K of
largest magnitude, with their sign. group_max: ReLU of the largest of each of K consecutive groups.
"""

ACTIVATION_RULES = ("threshold", *SELECTIONS)
SIGNED_RULES = ("signed_topk", "abs_topk")

INPUT_NORMALISATIONS = ("none", "layer_norm", "constant_norm")
"""What is done to each token a first. layer_norm: (a − mean(a)) / (std(a) + 1e-5), with n − 1 in
the standard deviation, which alone multiplies reconstructions. constant_norm: a · √D / ‖a‖."""


@dataclass
class SparseAutoencoder:
    """x̂ = code(x) · decoder, where x are normalised activations; all tensors float32.

    Rows of decoder_weight have unit L2 norm. threshold: of all features, or one each. The
    statistics are those by which the study normalises, and are used for every split and data set.

    SAEs from elsewhere may differ in `activation` (one of ACTIVATION_RULES; k: its K) and in
    `input_normalisation` (one of INPUT_NORMALISATIONS).
    """

    encoder_weight: Float[torch.Tensor, "F D"]
    encoder_bias: Float[torch.Tensor, " F"]
    decoder_weight: Float[torch.Tensor, "F D"]
    threshold: Float[torch.Tensor, ""] | Float[torch.Tensor, " F"]
    activation_mean: Float[torch.Tensor, " D"]
    activation_std: Float[torch.Tensor, ""]
    activation: str = "threshold"
    k: int | None = None
    input_normalisation: str = "none"

    @property
    def features(self) -> int:
        """F, the size of the dictionary."""
        return self.encoder_weight.shape[0]

    @property
    def width(self) -> int:
        """D, the width of the activations."""
        return self.encoder_weight.shape[1]

    @property
    def signed(self) -> bool:
        """Whether codes may be negative."""
        return self.activation in SIGNED_RULES

    @property
    def inference(self) -> dict[str, Any]:
        """What `config.yaml` says of the rule beside the tensors; empty for SAEs trained here."""
        if self.activation == "threshold" and self.input_normalisation == "none":
            return {}
        return {
            "activation": self.activation,
            "k": self.k,
            "input_normalisation": self.input_normalisation,
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """{field: tensor}."""
        return {name: value for name, value in vars(self).items() if torch.is_tensor(value)}

    def to(self, device: str | torch.device) -> SparseAutoencoder:
        """The same SAE with its tensors on `device`."""
        return replace(self, **{name: t.to(device) for name, t in self.tensors().items()})

    def token_statistics(
        self, activations: Float[torch.Tensor, "*n D"]
    ) -> tuple[Float[torch.Tensor, "*n 1"], Float[torch.Tensor, "*n 1"]]:
        """(shift, scale) [..., 1] of each token [..., D], by `input_normalisation`.

        With constant_norm a token of zeros, which the libraries divide by 0, stays one.
        """
        activations = activations.float()
        if self.input_normalisation == "layer_norm":
            shift = activations.mean(dim=-1, keepdim=True)
            return shift, (activations - shift).std(dim=-1, keepdim=True)
        scale = activations.norm(dim=-1, keepdim=True) / math.sqrt(activations.shape[-1])
        return torch.zeros_like(scale), torch.where(scale > 0, scale, 1)

    def normalise(self, activations: Float[torch.Tensor, "*n D"]) -> Float[torch.Tensor, "*n D"]:
        """x = (a − mean) / std, float32 [..., D], of activations [..., D] in any float type."""
        if self.input_normalisation != "none":
            activations = activations.float()
            shift, scale = self.token_statistics(activations)
            epsilon = LAYER_NORM_EPSILON if self.input_normalisation == "layer_norm" else 0
            activations = (activations - shift) / (scale + epsilon)
        return normalise(activations, self.activation_mean, self.activation_std)

    def denormalise(
        self,
        reconstruction: Float[torch.Tensor, "*n D"],
        activations: Float[torch.Tensor, "*n D"] | None = None,
    ) -> Float[torch.Tensor, "*n D"]:
        """â = x̂ · std + mean: activations of normalised x̂ [..., D].

        activations: the tokens [..., D] themselves, needed with an `input_normalisation`.
        """
        reconstruction = denormalise(reconstruction, self.activation_mean, self.activation_std)
        if self.input_normalisation != "none":
            if activations is None:
                raise ValueError("an SAE that normalises tokens needs them to undo it")
            shift, scale = self.token_statistics(activations)
            reconstruction = reconstruction * scale + shift
        return reconstruction

    def encode(self, normalised: Float[torch.Tensor, "*n D"]) -> Float[torch.Tensor, "*n F"]:
        """Codes [..., F] of normalised activations [..., D].

        code = pre where pre > 0 and pre ≥ threshold, else 0; or by one of SELECTIONS.
        """
        pre = torch.nn.functional.linear(normalised, self.encoder_weight, self.encoder_bias)
        return self.activate(pre)

    def activate(self, pre: Float[torch.Tensor, "*n F"]) -> Float[torch.Tensor, "*n F"]:
        """Codes [..., F] of pre-activations [..., F], which may be overwritten."""
        if self.activation != "threshold":
            return SELECTIONS[self.activation](pre, self.k)
        codes = pre.relu_()
        return codes.masked_fill_(codes < self.threshold, 0)

    def decode(self, codes: Float[torch.Tensor, "*n F"]) -> Float[torch.Tensor, "*n D"]:
        """Normalised reconstructions x̂ [..., D] of codes [..., F]."""
        return codes @ self.decoder_weight
