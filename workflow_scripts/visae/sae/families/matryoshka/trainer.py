"""Matryoshka BatchTopK (Bussmann et al. 2025): prefixes of the features reconstruct as well.

With r_j the residual of the first p_j features alone, the loss is the mean of the mean squares of
r_1 … r_m; the last prefix is all features. So a feature between two prefixes answers to the mean
of the residuals of all prefixes that have it. The logged loss is that of all features.

Prefixes are fixed, or drawn anew in every step, smaller ones more often: the density of a prefix
of p features falls with p^−1.5, a Pareto distribution.
"""

from __future__ import annotations

import numpy as np
import torch

from visae.base.arrays import Float
from visae.base.compiled import njit
from visae.base.pools import in_pieces
from visae.sae.choices import prefix_stops
from visae.sae.families.batchtopk.trainer import BatchTopK
from visae.sae.products import product
from visae.sae.sparse import set_gradients_by_feature
from visae.sae.trainer import StepResult

EXPONENT = 1.5

# As in `visae.sae.sparse`.
_FAST = {"reassoc", "contract", "nsz", "arcp"}
_jit = njit(nogil=True, cache=True, fastmath=_FAST)


class Matryoshka(BatchTopK):
    """BatchTopK whose every prefix reconstructs."""

    def __init__(self, spec, width, settings, device):
        super().__init__(spec, width, settings, device)
        self._drawn = settings.random_prefixes
        self._generator = torch.Generator().manual_seed(settings.seed)
        if self._drawn is None:
            self._stops = prefix_stops(settings.prefixes, self.features)

    def stops(self) -> list[int]:
        """The number of features in each prefix of this step, the last of them all."""
        if self._drawn is None:
            return self._stops
        density = torch.arange(1, self.features, dtype=torch.float64) ** -EXPONENT
        drawn = density.multinomial(self._drawn - 1, generator=self._generator) + 1
        return [*sorted(drawn.tolist()), self.features]

    @torch.no_grad()
    def set_sparse_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        codes = self.active_codes(normalised_bd)
        encoder, bias, decoder = self.weights.values()
        x, rows, stops = normalised_bd.numpy(), decoder.detach().numpy(), self.stops()
        residuals_mbd, squares = np.empty((len(stops), *x.shape), np.float32), np.empty(len(x))
        residual, grad_codes = np.empty_like(x), np.empty_like(codes.values)
        arguments = x, *codes, rows, np.array(stops), residuals_mbd, residual, squares, grad_codes
        in_pieces(_decode_prefixes, len(x), torch.get_num_threads(), *arguments)
        parts = [(stop, residuals_mbd[j]) for j, stop in enumerate(stops)]
        parameters = encoder, bias, decoder
        set_gradients_by_feature(x, codes, grad_codes, parts, parameters, self.averaged)
        self._mean_residual = torch.from_numpy(residuals_mbd[0])
        loss = torch.tensor(squares.sum() / x.size)
        return StepResult(loss, *self.activity(codes), torch.from_numpy(residual))

    @torch.no_grad()
    def set_dense_gradients(self, normalised_bd: Float[torch.Tensor, "B D"]) -> StepResult:
        x_bd, half = normalised_bd, self.half
        encoder, bias, decoder = self.weights.values()
        pre_bf = self.pre_activations(x_bd)
        keep_bf = self.keep(pre_bf)
        codes_bf = pre_bf.masked_fill_(~keep_bf, 0)
        stops = self.stops()
        parts = [slice(*ends) for ends in zip([0, *stops], stops, strict=False)]
        residuals, residual_bd = [], -x_bd
        for part in parts:
            residual_bd = residual_bd + product(codes_bf[:, part], decoder[part], half)
            residuals.append(residual_bd)
        scale, total_bd = 2 / (len(x_bd) * self.averaged), torch.zeros_like(x_bd)
        encoder.grad, decoder.grad = torch.empty_like(encoder), torch.empty_like(decoder)
        bias.grad = torch.empty_like(bias)
        for part, of_prefix in zip(reversed(parts), reversed(residuals), strict=True):
            total_bd = total_bd + of_prefix / len(parts)
            grad_bp = product(total_bd, decoder[part].T, half).masked_fill_(~keep_bf[:, part], 0)
            encoder.grad[part] = product(grad_bp.T, x_bd, half).mul_(scale)
            bias.grad[part] = grad_bp.sum(0).mul_(scale)
            decoder.grad[part] = product(codes_bf[:, part].T, total_bd, half).mul_(scale)
        self._mean_residual = total_bd
        loss = residual_bd.square().mean()
        return StepResult(loss, keep_bf.sum(), keep_bf.any(0), residual_bd)

    def reconstruction_gradient(self, residual_bd):
        """Of the mean over all prefixes, which share the decoder bias."""
        return super().reconstruction_gradient(self._mean_residual)

    def state(self):
        return super().state() | {"prefixes": self._generator.get_state()}

    def load_state(self, state):
        super().load_state(state)
        self._generator.set_state(state["prefixes"])


@_jit
def _decode_prefixes(
    start,
    stop,
    x_bd,
    row_starts,
    features,
    values,
    decoder_fd,
    stops,
    residuals_mbd,
    residual_bd,
    squares_b,
    grad_codes,
):
    """Per row: the residual of all features, its squared norm, and the rest by prefix.

    residuals_mbd[j]: the mean over prefixes of the residuals of the j-th and all larger ones,
    0 in place of the others. grad_codes: its products with the dictionary rows that only they have.
    """
    width, prefixes = x_bd.shape[1], len(stops)
    share = np.float32(1 / prefixes)
    for row in range(start, stop):
        residual = residual_bd[row]
        for d in range(width):
            residual[d] = -x_bd[row, d]
        entry, last = row_starts[row], row_starts[row + 1]
        for j in range(prefixes):
            while entry < last and features[entry] < stops[j]:
                atom, value = decoder_fd[features[entry]], values[entry]
                for d in range(width):
                    residual[d] += value * atom[d]
                entry += 1
            of_prefix = residuals_mbd[j, row]
            for d in range(width):
                of_prefix[d] = residual[d] * share
        squares = np.float32(0)
        for d in range(width):
            squares += residual[d] * residual[d]
        squares_b[row] = squares
        for j in range(prefixes - 1, -1, -1):
            total = residuals_mbd[j, row]
            if j < prefixes - 1:
                larger = residuals_mbd[j + 1, row]
                for d in range(width):
                    total[d] += larger[d]
            first = 0 if j == 0 else stops[j - 1]
            while entry > row_starts[row] and features[entry - 1] >= first:
                entry -= 1
                atom, grad = decoder_fd[features[entry]], np.float32(0)
                for d in range(width):
                    grad += total[d] * atom[d]
                grad_codes[entry] = grad


TRAINER = Matryoshka
