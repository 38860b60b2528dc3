"""Training whose sparsity coefficient λ is steered, so that L0 comes to its target (Appendix Q)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from visae.base.arrays import Float
from visae.sae.trainer import StepResult, Trainer


@dataclass(frozen=True)
class Control:
    """How log λ follows log(L0 / target).

    integral, proportional: log λ is `integral` times the sum of all log(L0 / target) plus
    `proportional` times the last one. bound: largest change of log λ.
    """

    integral: float
    proportional: float
    bound: float


class SteeredTrainer(Trainer):
    """Base of families whose spec's sparsity is a target L0; `recipe` is their Control."""

    recipe: Control

    def __init__(self, spec, width, settings, device):
        super().__init__(spec, width, settings, device)
        zero = torch.zeros((), device=self.device)
        self.log_coefficient = zero  # log λ
        self._start: torch.Tensor | None = None  # log λ of the first step; None before it
        self._integral = zero

    @torch.no_grad()
    def step(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        """One step, after which λ answers to the batch's L0; the first step calibrates."""
        if self._start is None:
            self.log_coefficient = self._start = self._calibrate(normalised_bd)
        result = super().step(normalised_bd)
        recipe = self.recipe
        error = torch.log((result.active / len(normalised_bd)).clamp(min=1e-3) / self.spec.target)
        self._integral = (self._integral + recipe.integral * error).clamp(
            -recipe.bound, recipe.bound
        )
        change = (self._integral + recipe.proportional * error).clamp(-recipe.bound, recipe.bound)
        self.log_coefficient = self._start + change
        return result

    def _calibrate(self, normalised_bd: Float[torch.Tensor, "B D"]) -> Float[torch.Tensor, ""]:
        """Set what the first step begins with, and return its log λ."""
        raise NotImplementedError

    def quantile(self, pre_bf: Float[torch.Tensor, "B F"]) -> Float[torch.Tensor, " F"]:
        """The value of each feature's pre-activations at which L0 is the target."""
        active = max(1, round(len(pre_bf) * self.spec.target / self.features))
        return pre_bf.topk(active, dim=0).values[-1]

    def state(self) -> dict[str, Any]:
        control = [self._start, self._integral, self.log_coefficient]
        return super().state() | {"control": control}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        start, integral, log_coefficient = state["control"]
        self._start = None if start is None else start.to(self.device)
        self._integral = integral.to(self.device)
        self.log_coefficient = log_coefficient.to(self.device)
