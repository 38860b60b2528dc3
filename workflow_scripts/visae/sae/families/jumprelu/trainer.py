"""JumpReLU (Rajamanoharan et al. 2024, paper Appendix Q): a trained threshold per feature.

The loss per token is (‖x̂ − x‖² + λ L0) / D, where a code is active from θ = exp(p) on. Its
derivative by θ is zero almost everywhere; the pseudo-derivative puts a narrow kernel in the
place of the step's delta function:

    ∂code/∂θ = −θ κ(pre − θ),   ∂L0/∂θ = −κ(pre − θ),   for pre > 0.

λ is steered so that L0 comes to its target: log λ follows log(L0 / target). Thresholds and all
comparisons are float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from visae.base.arrays import Bool, Float
from visae.sae.adam import clip_gradients
from visae.sae.sparse import SparseCodes, collect_codes
from visae.sae.steering import Control, SteeredTrainer

BANDWIDTH = 1e-3

# κ is below 1e-11 of its peak at this distance from θ, in units of its width.
KERNEL_REACH = 40

LOG_THRESHOLD = "log_threshold"


@dataclass(frozen=True)
class Recipe(Control):
    """How thresholds begin, and how the sparsity coefficient λ is steered.

    threshold: θ of every feature at first, or None: each feature's own quantile of the first
    batch's pre-activations, at which L0 is the target. coefficient: λ at first, or None: the
    mean θ², where a code at its threshold pays for itself.
    """

    threshold: float | None
    coefficient: float | None


RECIPES: dict[str | None, Recipe] = {
    # The paper names a multiplicative controller and no numbers: here every step multiplies λ by
    # (L0 / target)^0.01.
    "paper": Recipe(
        threshold=math.exp(-3),
        coefficient=1e-2,
        integral=0.01,
        proportional=0.0,
        bound=math.log(1e6),
    ),
    "calibrated": Recipe(
        threshold=None, coefficient=None, integral=0.01, proportional=10.0, bound=math.log(1e3)
    ),
}


def kernel(distance: Float[torch.Tensor, "*n"], bandwidth: float) -> Float[torch.Tensor, "*n"]:
    """Silverman's kernel κ of unit mass and width h = bandwidth / 2; a tensor.

    κ(δ) = exp(−|δ|/(√2 h)) · sin(|δ|/(√2 h) + π/4) / (2 h). The width is overcomplete's.
    """
    width = bandwidth / 2
    reduced = distance.abs() / (math.sqrt(2) * width)
    return torch.exp(-reduced) * torch.sin(reduced + math.pi / 4) / (2 * width)


class JumpReLU(SteeredTrainer):
    """Keeps codes that are positive and at least their feature's threshold."""

    recipe: Recipe

    def __init__(self, spec, width, settings, device):
        features = spec.features(width)
        self.log_threshold = nn.Parameter(torch.zeros(features, device=device))
        super().__init__(spec, width, settings, device)
        self.bandwidth = BANDWIDTH
        self.recipe = RECIPES[settings.recipe("jumprelu")]

    def _calibrate(self, normalised_bd):
        """Set θ, and return log λ, of the first step."""
        recipe = self.recipe
        if recipe.threshold is not None:
            self.log_threshold.fill_(math.log(recipe.threshold))
        else:
            quantile = self.quantile(self.pre_activations(normalised_bd))
            self.log_threshold.copy_(quantile.clamp(min=KERNEL_REACH * self.bandwidth).log())
        if recipe.coefficient is not None:
            return torch.tensor(math.log(recipe.coefficient), device=self.device)
        return (2 * self.log_threshold).exp().mean().log()

    def clip_gradients(self, largest_norm):
        """Clip the gradient of the thresholds apart from that of the weights."""
        clip_gradients([self.log_threshold], largest_norm)
        return super().clip_gradients(largest_norm)

    def trained(self):
        return [*super().trained(), self.log_threshold]

    def clipped(self):
        return super().trained()

    def threshold(self) -> Float[torch.Tensor, " F"]:
        return self.log_threshold.detach().exp()

    def keep(self, pre_bf: Float[torch.Tensor, "B F"]) -> Bool[torch.Tensor, "B F"]:
        return ~((pre_bf < self.threshold()) | (pre_bf <= 0))

    def active_codes(self, normalised_bd: Float[torch.Tensor, "B D"]) -> SparseCodes:
        """The active codes, and with value 0 those below their threshold that κ still reaches."""
        threshold = self.threshold().numpy()
        lower = threshold - KERNEL_REACH * self.bandwidth / 2
        codes = collect_codes(normalised_bd, *self.encoder(), lower)
        self._distances = torch.from_numpy(codes.values - threshold[codes.features])
        values = np.where(self._distances.numpy() < 0, np.float32(0), codes.values)
        return SparseCodes(codes.row_starts, codes.features, values)

    def on_dense_code_gradients(self, pre_bf, grad_codes_bf):
        threshold = self.threshold()
        weight_bf = kernel(pre_bf - threshold, self.bandwidth).masked_fill_(pre_bf <= 0, 0)
        sums = (weight_bf * grad_codes_bf).sum(0), weight_bf.sum(0)
        self._set_threshold_gradient(*sums, len(pre_bf))

    def on_sparse_code_gradients(self, codes, grad_codes):
        weights = kernel(self._distances, self.bandwidth).double()
        features = torch.from_numpy(codes.features)
        sums = torch.zeros(2, self.features, dtype=torch.float64)
        sums[0].index_add_(0, features, weights * torch.from_numpy(grad_codes))
        sums[1].index_add_(0, features, weights)
        self._set_threshold_gradient(sums[0], sums[1], len(codes.row_starts) - 1)
        grad_codes[codes.values == 0] = 0

    def _set_threshold_gradient(self, kernel_grads_f, kernels_f, tokens):
        """∂loss/∂p = −θ Σ κ · (2 θ grad + λ) / (B·D), of Σ κ · grad and Σ κ over the batch.

        With `loss: sum` the divisor is B.
        """
        threshold, coefficient = self.threshold(), self.log_coefficient.exp()
        total = 2 * threshold * kernel_grads_f + coefficient * kernels_f
        self.log_threshold.grad = (-threshold * total / (tokens * self.averaged)).float()

    def state(self):
        return super().state() | {LOG_THRESHOLD: self.log_threshold.detach()}

    def load_state(self, state):
        super().load_state(state)
        with torch.no_grad():
            self.log_threshold.copy_(state[LOG_THRESHOLD])


TRAINER = JumpReLU
