"""Dead features are drawn anew (Bricken et al. 2023, "Neuron Resampling").

Every so many tokens, each feature without an active code since the last time takes the direction
of a token that is reconstructed badly: drawn from the batch with a probability that goes with the
square of its squared error. Its encoder row is 0.2 times as long as that of the others on average,
its bias is 0, and Adam begins anew with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from visae.base.arrays import Bool, Float
from visae.sae.choices import Resampling

ENCODER_SHARE = 0.2


class Resampler:
    """Which features have fired since the last time, and the numbers that draw tokens.

    settings: Resampling. features: F.
    """

    def __init__(self, settings: Resampling, features: int, seed: int, device: torch.device):
        self.settings = settings
        self.fired = torch.zeros(features, dtype=torch.bool, device=device)
        self.tokens = 0
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def after_step(
        self,
        trainer: Any,
        x_bd: Float[torch.Tensor, "B D"],
        residual_bd: Float[torch.Tensor, "B D"],
        fired: Bool[torch.Tensor, " F"],
        done: float,
    ) -> None:
        """Draw features of a Trainer anew if it is time. done: share of the run that is behind."""
        self.fired |= fired
        self.tokens += len(x_bd)
        if self.tokens < self.settings.every or done > self.settings.until:
            return
        dead = (~self.fired).nonzero().ravel()
        if 0 < len(dead) < len(self.fired):
            self._draw(trainer, dead, x_bd, residual_bd)
        self.fired.zero_()
        self.tokens = 0

    def _draw(self, trainer, dead, x_bd, residual_bd):
        chances = residual_bd.square().sum(1).double().square().cpu()  # float32 ends at 1e38
        chances = chances.clamp(min=torch.finfo(chances.dtype).tiny)
        chosen = chances.multinomial(len(dead), replacement=True, generator=self._generator)
        directions = torch.nn.functional.normalize(x_bd[chosen.to(x_bd.device)], dim=1)
        encoder, bias, decoder = trainer.weights.values()
        length = torch.linalg.vector_norm(encoder[self.fired], dim=1).mean()
        decoder[dead] = directions
        encoder[dead] = ENCODER_SHARE * length * directions
        bias[dead] = 0
        for parameter in (encoder, bias, decoder):
            trainer.optimizer.forget(parameter, dead)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        drawn = self._generator.get_state()
        return {"fired": self.fired, "tokens": self.tokens, "generator": drawn}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.fired.copy_(state["fired"])
        self.tokens = state["tokens"]
        self._generator.set_state(state["generator"])
