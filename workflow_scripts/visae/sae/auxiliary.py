"""The auxiliary loss for dead features (Gao et al. 2024, appendix A.2; Bussmann et al. 2024).

Features that have had no active code for so many tokens explain what the others leave. With
e = x − x̂, which has no gradient, and ê the reconstruction by the k largest positive codes of dead
features of each token, the loss per token is (‖x̂ − x‖² + α ‖ê − e‖² / v) / D, where v is the
variance of e: its mean squared distance from its mean over the batch. `loss: sum` leaves D out.

This is dictionary-learning 0.1.0's, to float32 rounding. sae-lens 6.54.12 has no v, lets dead codes
be negative, and lowers α where few features are dead; that of eai-sparsify 1.3.3 does not reach the
encoder.
"""

from __future__ import annotations

from typing import Any

import torch

from visae.base.arrays import Bool, Float
from visae.sae.adam import gradient
from visae.sae.choices import Auxiliary
from visae.sae.products import product


class DeadFeatures:
    """Which features are dead, and what they add to the gradients.

    settings: Auxiliary. features: F.
    """

    def __init__(self, settings: Auxiliary, features: int, device: torch.device):
        self.settings = settings
        self.idle = torch.zeros(features, dtype=torch.int64, device=device)
        """Tokens since each feature's last active code, or since the beginning."""

    @torch.no_grad()
    def add_gradients(
        self,
        trainer: Any,
        x_bd: Float[torch.Tensor, "B D"],
        residual_bd: Float[torch.Tensor, "B D"],
        fired: Bool[torch.Tensor, " F"],
    ) -> None:
        """Add the loss's gradients to `.grad` of a Trainer's weights, of which it sets the rest.

        residual_bd: x̂ − x. fired: which features the batch has active codes of.
        """
        self.idle += len(x_bd)
        self.idle.masked_fill_(fired, 0)
        # The length of these is one more wait for the device.
        dead = (self.idle >= self.settings.dead_after).nonzero().ravel()
        if not len(dead):
            return
        weight, bias = trainer.encoder()
        encoder, own_bias, decoder = trainer.weights.values()
        rows_nd, half = decoder.detach()[dead], trainer.half
        pre_bn = product(x_bd, weight[dead].T, half).add_(bias[dead])
        codes_bn = self._largest(pre_bn.relu_(), x_bd.shape[1])
        error_bd = product(codes_bn, rows_nd, half).add_(residual_bd)
        variance = (residual_bd - residual_bd.mean(0)).square_().sum() / len(x_bd)
        scale = 2 * self.settings.coefficient / (len(x_bd) * trainer.averaged) / variance
        scale = scale.nan_to_num(0, 0, 0)  # nothing is left to explain
        grad_bn = product(error_bd, rows_nd.T, half).masked_fill_(codes_bn <= 0, 0)
        for parameter, of_dead in (
            (encoder, product(grad_bn.T, x_bd, half)),
            (own_bias, grad_bn.sum(0)),
            (decoder, product(codes_bn.T, error_bd, half)),
        ):
            gradient(parameter).index_add_(0, dead, of_dead.mul_(scale))

    def _largest(self, codes_bn, width):
        """The k largest codes of each token; others are 0."""
        k = width // 2 if self.settings.k is None else self.settings.k
        if k >= codes_bn.shape[1]:
            return codes_bn
        values, indices = codes_bn.topk(k, dim=1, sorted=False)
        return torch.zeros_like(codes_bn).scatter_(1, indices, values)
