"""Gated SAEs (Rajamanoharan et al. 2024a): which codes are active, and how much, are two questions.

With h = x Wₑᵀ, gate = h + b_g and magnitude = exp(r) · h + b_m, a code is the magnitude where both
are positive. The gate's own positive part reconstructs, too, by a decoder that this does not
train, so that the gate has a gradient. The loss per token is

    (‖x̂ − x‖² + ‖x̂_gate − x‖² + λ ‖gate⁺‖₁) / D,

and λ is steered so that L0 comes to its target. Trained, this is a threshold per feature: the gate
is open where the magnitude is above b_m − exp(r) · b_g.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from visae.base.arrays import Float
from visae.sae.products import product
from visae.sae.steering import Control, SteeredTrainer
from visae.sae.trainer import ENCODER_BIAS, ENCODER_WEIGHT, StepResult

LOG_SCALE, GATE_BIAS = "log_scale", "gate_bias"

CONTROL = Control(integral=0.01, proportional=1.0, bound=math.log(1e3))


class Gated(SteeredTrainer):
    """Keeps positive magnitudes behind open gates. The logged loss is that of the codes alone.

    A third of the gates is open at first, so that the CPU uses dense products, too.
    """

    recipe = CONTROL

    def __init__(self, spec, width, settings, device):
        features = spec.features(width)
        self.log_scale = nn.Parameter(torch.zeros(features, device=device))
        self.gate_bias = nn.Parameter(torch.zeros(features, device=device))
        super().__init__(spec, width, settings, device)

    def trained(self):
        return [*super().trained(), self.log_scale, self.gate_bias]

    def _products(self, x_bd):
        """h [B, F]."""
        h_bf = product(x_bd, self.weights[ENCODER_WEIGHT].detach().T, self.half)
        shift = self.shift()
        return h_bf if shift is None else h_bf.add_(shift)

    def _calibrate(self, normalised_bd):
        """Open gates so that L0 is the target, and let a code at its gate pay for itself."""
        open_from = self.quantile(self._products(normalised_bd))
        self.gate_bias.copy_(-open_from)
        return (2 * open_from.clamp(min=1e-3)).mean().log()

    def set_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        return self.set_dense_gradients(normalised_bd)

    @torch.no_grad()
    def set_dense_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        x_bd, half = normalised_bd, self.half
        encoder, bias, decoder = self.weights.values()
        h_bf, scale_f = self._products(x_bd), self.log_scale.exp()
        gate_bf = (h_bf + self.gate_bias).relu_()
        codes_bf = (h_bf * scale_f).add_(bias).relu_().masked_fill_(gate_bf <= 0, 0)
        residual_bd = product(codes_bf, decoder, half).sub_(x_bd)
        of_gate_bd = product(gate_bf, decoder, half).sub_(x_bd)
        scale = 2 / (len(x_bd) * self.averaged)
        keep_bf, open_bf = ~(codes_bf <= 0), ~(gate_bf <= 0)
        grad_codes_bf = product(residual_bd, decoder.T, half).masked_fill_(~keep_bf, 0)
        grad_gate_bf = product(of_gate_bd, decoder.T, half)
        grad_gate_bf.add_(self.log_coefficient.exp() / 2).masked_fill_(~open_bf, 0)
        decoder.grad = product(codes_bf.T, residual_bd, half).mul_(scale)
        bias.grad = grad_codes_bf.sum(0).mul_(scale)
        self.gate_bias.grad = grad_gate_bf.sum(0).mul_(scale)
        grad_codes_bf.mul_(scale_f)
        self.log_scale.grad = (grad_codes_bf * h_bf).sum(0).mul_(scale)
        grad_h_bf = grad_codes_bf.add_(grad_gate_bf)
        encoder.grad = product(grad_h_bf.T, x_bd, half).mul_(scale)
        self._grad_h = grad_h_bf.sum(0).mul_(scale)
        loss = residual_bd.square().mean()
        return StepResult(loss, keep_bf.sum(), keep_bf.any(0), residual_bd)

    def pre_gradient(self):
        return self._grad_h

    def finish(self):
        weight, _, decoder = super().finish()
        scale, bias = self.log_scale.detach().exp(), self.weights[ENCODER_BIAS].detach()
        shift = self.shift()
        bias = bias if shift is None else bias + scale * shift
        return weight * scale[:, None], bias, decoder

    def threshold(self) -> Float[torch.Tensor, " F"]:
        """The next number above b_m − exp(r) · b_g, where a gate is not yet open, or above 0."""
        scale = self.log_scale.detach().exp()
        closed = self.weights[ENCODER_BIAS].detach() - scale * self.gate_bias.detach()
        return closed.clamp_(min=0).nextafter(torch.full_like(closed, math.inf))

    def state(self):
        own = {LOG_SCALE: self.log_scale.detach(), GATE_BIAS: self.gate_bias.detach()}
        return super().state() | own

    def load_state(self, state):
        super().load_state(state)
        with torch.no_grad():
            self.log_scale.copy_(state[LOG_SCALE])
            self.gate_bias.copy_(state[GATE_BIAS])


TRAINER = Gated
