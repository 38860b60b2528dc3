"""ReLU with an L1 penalty (Bricken et al. 2023): loss per token (‖x̂ − x‖² + λ ‖code‖₁) / D."""

from __future__ import annotations

import torch

from visae.base.arrays import Bool, Float
from visae.sae.trainer import StepResult, Trainer


class ReLU(Trainer):
    """Keeps every positive code; λ is the spec's sparsity. The logged loss is without the penalty.

    Half of the codes are active at first, so that the CPU uses dense products, too.
    """

    def set_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        return self.set_dense_gradients(normalised_bd)

    def keep(self, pre_bf: Float[torch.Tensor, "B F"]) -> Bool[torch.Tensor, "B F"]:
        return ~(pre_bf <= 0)

    def on_dense_code_gradients(self, pre_bf, grad_codes_bf):
        grad_codes_bf.add_(self.spec.target / 2)

    def threshold(self) -> Float[torch.Tensor, ""]:
        return torch.zeros((), device=self.device)


TRAINER = ReLU
