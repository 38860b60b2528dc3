"""One SAE in training: parameters, exact gradients, clipping and Adam.

The gradients are written out rather than left to autograd: the loss is a mean of squares and
the code is linear where it is active, so that a few products say all of it (and the sparse
step can leave out the zeros). For a batch x [B, D] with pre = x Wₑᵀ + b, codes c = pre on the
kept entries, residual r = c W_d − x and scale = 2 / (B·D):

    loss = mean(r²),   ∂W_d = scale · cᵀ r,   ∂c = scale · r W_dᵀ,   ∂Wₑ = (∂c on kept)ᵀ x.

With `loss: sum` (Eq. 1) the squares are summed over dimensions, and scale = 2 / B.
`scale` is multiplied last, so that no operand of a float16 product is too small for it.

With a decoder bias v all of this holds for x − v: x̂ − x is the same. Where v is only added, the
encoder sees x = (x − v) + v, which its bias and gradient take in. v's own gradient is that of
reconstructions, and, where v is subtracted from what is encoded, that of pre-activations.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from visae.base.arrays import Bool, Float, Int
from visae.sae.adam import Adam, clip_gradients, gradient
from visae.sae.auxiliary import DeadFeatures
from visae.sae.products import product
from visae.sae.resampling import Resampler
from visae.sae.sparse import SparseCodes, set_sparse_gradients
from visae.sae.specs import SaeSpec, TrainingSettings

ENCODER_WEIGHT, ENCODER_BIAS, DECODER_WEIGHT = "encoder_weight", "encoder_bias", "decoder_weight"


class StepResult(NamedTuple):
    """What a step saw; tensors on the training device, so that nothing waits for them."""

    loss: Float[torch.Tensor, ""]
    """Mean squared error over elements."""
    active: Int[torch.Tensor, ""]
    """Non-zero codes of the batch."""
    fired: Bool[torch.Tensor, " F"]
    """Which features were active at all."""
    residual: Float[torch.Tensor, "B D"]
    """x̂ − x."""
    clipped: Bool[torch.Tensor, ""] = torch.tensor(False)
    """Whether the gradient was longer than `gradient_clip`."""


def initial_weights(features: int, width: int, seed: int) -> dict[str, torch.Tensor]:
    """PyTorch's default linear layer and a Xavier-uniform decoder, drawn in this order on the CPU.

    This is the order in which overcomplete 0.3.0 draws after `torch.manual_seed(seed)`.
    """
    generator = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(width)
    weights = {
        ENCODER_WEIGHT: torch.empty(features, width),
        ENCODER_BIAS: torch.empty(features),
        DECODER_WEIGHT: torch.empty(features, width),
    }
    nn.init.kaiming_uniform_(weights[ENCODER_WEIGHT], a=math.sqrt(5), generator=generator)
    nn.init.uniform_(weights[ENCODER_BIAS], -bound, bound, generator=generator)
    nn.init.xavier_uniform_(weights[DECODER_WEIGHT], generator=generator)
    return weights


class Trainer:
    """Base of the families. A family says which codes are active: `keep` and `active_codes`.

    spec: SaeSpec. width: D. settings: TrainingSettings. device: torch.device.
    """

    def __init__(
        self,
        spec: SaeSpec,
        width: int,
        settings: TrainingSettings,
        device: str | torch.device,
    ):
        self.spec, self.width, self.settings = spec, width, settings
        self.device = torch.device(device)
        self.features = spec.features(width)
        self.averaged = width if settings.loss == "mean" else 1  # dimensions per token
        self.half = settings.precision == "float16" and self.device.type == "cuda"
        weights = initial_weights(self.features, width, settings.seed)
        if settings.encoder_from_decoder is not None:
            rows = nn.functional.normalize(weights[DECODER_WEIGHT], dim=1)
            weights[ENCODER_WEIGHT] = settings.encoder_from_decoder * rows
        self.weights = {
            name: nn.Parameter(tensor.to(self.device)) for name, tensor in weights.items()
        }
        self.decoder_bias = None
        if settings.decoder_bias != "none":
            self.decoder_bias = nn.Parameter(torch.zeros(width, device=self.device))
        self.optimizer = Adam(self.trained(), settings.learning_rate, beta1=settings.adam_beta1)
        self.dead_features = None
        if settings.auxiliary is not None:
            self.dead_features = DeadFeatures(settings.auxiliary, self.features, self.device)
        self.resampler = None
        if settings.resampling is not None:
            self.resampler = Resampler(
                settings.resampling, self.features, settings.seed, self.device
            )
        self._done = 0.0

    def trained(self) -> list[nn.Parameter]:
        """The parameters that Adam moves."""
        bias = [] if self.decoder_bias is None else [self.decoder_bias]
        return [*self.weights.values(), *bias]

    def clipped(self) -> list[nn.Parameter]:
        """The parameters whose gradients are clipped as one vector."""
        return self.trained()

    def begin_step(self, step: int, steps: int) -> None:
        """Follow the schedule: the next step has number `step`, from 0, of `steps`."""
        settings = self.settings
        rate = settings.learning_rate * settings.schedule.factor(step, steps)
        self.optimizer.learning_rate = rate
        self._done = (step + 1) / steps

    @torch.no_grad()
    def step(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        """One step of training on normalised activations float32 [B, D]: a StepResult."""
        normalise_rows(self.weights[DECODER_WEIGHT])
        x_bd = normalised_bd
        if self.decoder_bias is not None:
            x_bd = normalised_bd - self.decoder_bias
        result = self.set_gradients(x_bd)
        if self.dead_features is not None:
            self.dead_features.add_gradients(self, x_bd, result.residual, result.fired)
        if self.decoder_bias is not None:
            self._set_bias_gradient(self.decoder_bias, result.residual)
        if self.settings.decoder_gradient == "tangent":
            remove_radial(gradient(self.weights[DECODER_WEIGHT]), self.weights[DECODER_WEIGHT])
        clipped = torch.zeros((), dtype=torch.bool, device=self.device)
        if self.settings.gradient_clip is not None:
            clipped = self.clip_gradients(self.settings.gradient_clip)
        self.optimizer.step()
        if self.resampler is not None:
            self.resampler.after_step(self, x_bd, result.residual, result.fired, self._done)
        return result._replace(clipped=clipped)

    def clip_gradients(self, largest_norm: float) -> Bool[torch.Tensor, ""]:
        """Shorten the gradient of what is clipped together: whether it was longer."""
        return clip_gradients(self.clipped(), largest_norm)

    def _set_bias_gradient(self, bias, residual_bd):
        """Set the decoder bias's `.grad`, and complete the encoder's where the bias is added."""
        weight, pre_gradient = self.weights[ENCODER_WEIGHT], self.pre_gradient()
        bias.grad = self.reconstruction_gradient(residual_bd)
        if self.settings.decoder_bias == "tied":
            bias.grad -= pre_gradient @ weight
        else:
            gradient(weight).addr_(pre_gradient, bias)

    def reconstruction_gradient(
        self, residual_bd: Float[torch.Tensor, "B D"]
    ) -> Float[torch.Tensor, " D"]:
        """The derivative of the loss by what is added to every reconstruction."""
        return residual_bd.sum(0).mul_(2 / (len(residual_bd) * self.averaged))

    def pre_gradient(self) -> Float[torch.Tensor, " F"]:
        """The derivative by what is added to every token's product with the encoder, once set."""
        return gradient(self.weights[ENCODER_BIAS])

    def set_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        """Set `.grad` of every parameter for this batch: a StepResult."""
        if self.device.type == "cpu":
            return self.set_sparse_gradients(normalised_bd)
        return self.set_dense_gradients(normalised_bd)

    @torch.no_grad()
    def set_sparse_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        """The gradients by the active codes alone: for the CPU."""
        codes = self.active_codes(normalised_bd)
        on_code_gradients = functools.partial(self.on_sparse_code_gradients, codes)
        encoder, bias, decoder = self.weights.values()
        loss, residual_bd = set_sparse_gradients(
            normalised_bd, codes, encoder, bias, decoder, on_code_gradients, self.averaged
        )
        return StepResult(torch.tensor(loss), *self.activity(codes), residual_bd)

    def activity(self, codes: SparseCodes) -> tuple[torch.Tensor, torch.Tensor]:
        """(how many codes are not 0, which features have one) of the batch."""
        active = torch.from_numpy(codes.features[codes.values != 0]).long()
        fired = torch.zeros(self.features, dtype=torch.bool).index_fill_(0, active, True)
        return torch.tensor(len(active)), fired

    @torch.no_grad()
    def set_dense_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        """The gradients by products of full matrices: for CUDA, and the reference elsewhere."""
        x_bd, half = normalised_bd, self.half
        encoder, bias, decoder = self.weights.values()
        pre_bf = self.pre_activations(x_bd)
        keep_bf = self.keep(pre_bf)
        codes_bf = pre_bf.masked_fill(~keep_bf, 0)
        residual_bd = product(codes_bf, decoder, half).sub_(x_bd)
        scale = 2 / (len(x_bd) * self.averaged)
        decoder.grad = product(codes_bf.T, residual_bd, half).mul_(scale)
        grad_codes_bf = product(residual_bd, decoder.T, half)
        self.on_dense_code_gradients(pre_bf, grad_codes_bf)
        grad_codes_bf.masked_fill_(~keep_bf, 0)
        encoder.grad = product(grad_codes_bf.T, x_bd, half).mul_(scale)
        bias.grad = grad_codes_bf.sum(0).mul_(scale)
        loss = residual_bd.square().mean()
        return StepResult(loss, keep_bf.sum(), keep_bf.any(0), residual_bd)

    def keep(self, pre_bf: Float[torch.Tensor, "B F"]) -> Bool[torch.Tensor, "B F"]:
        """Which codes are active, bool [B, F], of pre-activations [B, F]; NaN counts as active."""
        raise NotImplementedError

    def active_codes(self, normalised_bd: Float[torch.Tensor, "B D"]) -> SparseCodes:
        """The same codes as by `keep`, as SparseCodes, of normalised activations [B, D]."""
        raise NotImplementedError

    def on_dense_code_gradients(
        self, pre_bf: Float[torch.Tensor, "B F"], grad_codes_bf: Float[torch.Tensor, "B F"]
    ) -> None:
        """Called with every code's derivative r W_dᵀ [B, F], to use it or add to it in place."""

    def on_sparse_code_gradients(
        self, codes: SparseCodes, grad_codes: Float[np.ndarray, " active"]
    ) -> None:
        """The same for SparseCodes and their derivatives, float32 array [active]."""

    def encoder(self) -> tuple[Float[torch.Tensor, "F D"], Float[torch.Tensor, " F"]]:
        """The weight [F, D] and bias [F] that encode x, less the decoder bias if there is one."""
        weight, bias = self.weights[ENCODER_WEIGHT].detach(), self.weights[ENCODER_BIAS].detach()
        shift = self.shift()
        return weight, bias if shift is None else bias + shift

    def pre_activations(self, x_bd: Float[torch.Tensor, "B D"]) -> Float[torch.Tensor, "B F"]:
        """All of them, of x less the decoder bias if there is one."""
        weight, bias = self.encoder()
        return product(x_bd, weight.T, self.half).add_(bias)

    def shift(self) -> Float[torch.Tensor, " F"] | None:
        """What a decoder bias that is only added moves pre-activations by, or None."""
        if self.decoder_bias is None or self.settings.decoder_bias == "tied":
            return None
        return (self.weights[ENCODER_WEIGHT] @ self.decoder_bias).detach()

    def finish(
        self,
    ) -> tuple[Float[torch.Tensor, "F D"], Float[torch.Tensor, " F"], Float[torch.Tensor, "F D"]]:
        """Encoder weight, encoder bias, and decoder with rows of unit norm: float32 tensors.

        They encode and reconstruct x less the decoder bias.
        """
        normalise_rows(self.weights[DECODER_WEIGHT])
        return *self.encoder(), self.weights[DECODER_WEIGHT].detach()

    def threshold(self) -> Float[torch.Tensor, ""] | Float[torch.Tensor, " F"] | None:
        """Thresholds [F] or [] that training leaves, or None where one is measured afterwards."""
        return None

    def state(self) -> dict[str, Any]:
        """All that the next step depends on: a mapping of tensors and numbers."""
        weights = {name: weight.detach() for name, weight in self.weights.items()}
        state: dict[str, Any] = {"weights": weights, "optimizer": self.optimizer.state()}
        if self.decoder_bias is not None:
            state["decoder_bias"] = self.decoder_bias.detach()
        if self.dead_features is not None:
            state["idle"] = self.dead_features.idle
        if self.resampler is not None:
            state["resampler"] = self.resampler.state()
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
            if self.decoder_bias is not None:
                self.decoder_bias.copy_(state["decoder_bias"])
        if self.dead_features is not None:
            self.dead_features.idle.copy_(state["idle"])
        if self.resampler is not None:
            self.resampler.load_state(state["resampler"])
        self.optimizer.load_state(state["optimizer"])


@torch.no_grad()
def normalise_rows(weight_fd: Float[torch.Tensor, "F D"]) -> None:
    """Give each row unit L2 norm, in place."""
    weight_fd.div_(torch.linalg.vector_norm(weight_fd, dim=1, keepdim=True).add_(1e-8))


@torch.no_grad()
def remove_radial(
    gradient_fd: Float[torch.Tensor, "F D"], weight_fd: Float[torch.Tensor, "F D"]
) -> None:
    """Take from each row's gradient, in place, what is parallel to the row, of unit L2 norm."""
    radial = (gradient_fd * weight_fd).sum(dim=1, keepdim=True)
    gradient_fd.addcmul_(radial, weight_fd, value=-1)
