"""The screened product: codes that can reach a threshold are found by a product of rounded rows.

Of the pre-activations p = x·w + b of a token x with all features w, about one in a hundred is
kept. Rows are scaled and rounded, X = x / s_x ≈ q_x and W = w / s_w ≈ q_w: to bytes on the CPU
(`visae.sae.screen_bytes`), to float16 on CUDA (`visae.sae.screen_halves`). Their product
P ≈ Σ q_x q_w is within σ ‖q_x‖ ‖q_w‖ of its exact value, where σ belongs to the arithmetic. With
the inequality of Cauchy and Schwarz,

    |Σ X W − Σ q_x q_w| = |Σ (X − q_x) W + Σ q_x (W − q_w)| ≤ ‖X − q_x‖ ‖W‖ + ‖q_x‖ ‖W − q_w‖.

The float32 product d of x and w, summed in any order, is within γ Σ |x w| ≤ γ ‖x‖ ‖w‖ of Σ x w,
where γ = D u / (1 − D u) and u = 2⁻²⁴ (Higham 2002, section 3.1). So d + b ≥ t implies

    P ≥ (t − b) / (s_x s_w) − ‖W‖ (‖X − q_x‖ + γ ‖X‖) − ‖q_x‖ (‖W − q_w‖ + σ ‖q_w‖).

Every other code is below t, and is never computed. Those that remain, the candidates, are computed
in float32. Where they are many, and on processors whose rounded products are no faster, the float32
product of all is used: a check and a timing at the start decide, and the log says so.

Rounding in the bound itself: norms and terms are float32 and made larger by more than a sum of D
can lose. What underflows is less than the 1 (in units of s_x s_w) that is taken off. Rows with
entries from 2⁵⁵ on, infinite or NaN have no bound: all their codes are candidates.
"""

from __future__ import annotations

import abc
import functools
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from visae.base.arrays import Float, Int

logger = logging.getLogger(__name__)

UNIT_ROUNDOFF = 2.0**-24
ROUNDING = 2.0**-20
"""What is taken off every term of the cut: several roundings of a float32."""
WORST = 1.001
"""What underflow can take off a product of rounded rows."""


class Rounded(NamedTuple):
    """Rows that are scaled and rounded, and what that does, in units of each row's scale.

    Rows that are not bounded: 0, infinity, infinity and 0.
    """

    rows: Any
    """A tensor [n, D]."""
    inverse: Float[torch.Tensor, " n"]
    """1 / scale. This and the others are float64."""
    norm: Float[torch.Tensor, " n"]
    lost: Float[torch.Tensor, " n"]
    """The norm of what rounding takes from the row."""
    kept: Float[torch.Tensor, " n"]
    """The norm of what it leaves."""


class Arrays(NamedTuple):
    """A `Side` as kernels on the CPU take it: parts of arrays cost less than parts of tensors."""

    rows: Float[np.ndarray, "n D"]
    bias: Float[np.ndarray, " n"]
    lower: Float[np.ndarray, " n"]


class Arithmetic(abc.ABC):
    """How a back end rounds rows."""

    split: Int[torch.Tensor, " _"] | None = None
    """Channels that rounded rows leave out: their part of the product is of float32."""

    @abc.abstractmethod
    def rounded(self, rows_nd: Float[torch.Tensor, "n D"]) -> Rounded:
        """Rows of float32, scaled and rounded."""

    @abc.abstractmethod
    def sum_error(self, width: int) -> float:
        """σ: what a product of rounded rows can lose to its summation."""


class Side(abc.ABC):
    """Rows [n, D] as one side of a screened product: the features of an encoder, or tokens.

    Codes are kept that reach the sum of `lower` of both sides. `by_rounded` and `by_floats`,
    float32 [4, n]: a code is a candidate where its product reaches the sum of four products of
    theirs.
    """

    def __init__(
        self,
        arithmetic: Arithmetic,
        rows_nd: Float[torch.Tensor, "n D"],
        bias: Float[torch.Tensor, " n"],
        lower: Float[torch.Tensor, " n"],
    ):
        self.arithmetic, self.rows = arithmetic, rows_nd.detach().contiguous()
        self.bias, self.lower = bias, lower
        self.rounded, self._inverse, norm, lost, kept = arithmetic.rounded(self.rows)
        width = self.rows.shape[1]
        more = 1 + 2 * ROUNDING + width * UNIT_ROUNDOFF  # than what float32 sums can have lost
        self._norm, self._kept = more * norm, more * kept
        self._lost = more * lost + 4 * UNIT_ROUNDOFF * self._norm
        self._length = torch.where(self._inverse > 0, self._norm / self._inverse, torch.inf)
        self._gamma = rounding_of_sums(width)
        self._sum_error = arithmetic.sum_error(width)

    @functools.cached_property
    def arrays(self) -> Arrays:
        """Of tensors on the CPU."""
        return Arrays(self.rows.numpy(), self.bias.detach().numpy(), self.lower.numpy())

    @functools.cached_property
    def by_rounded(self) -> Float[torch.Tensor, "4 n"]:
        """Of a product of rounded rows."""
        return torch.stack(self._cut_of_rounded()).float()

    @functools.cached_property
    def by_floats(self) -> Float[torch.Tensor, "4 n"]:
        """Of a float32 product, which is within 2 γ ‖x‖ ‖w‖ of any other."""
        return torch.stack(self._cut_of_floats()).float()

    @abc.abstractmethod
    def _cut_of_rounded(self) -> tuple[torch.Tensor, ...]: ...

    @abc.abstractmethod
    def _cut_of_floats(self) -> tuple[torch.Tensor, ...]: ...


class Features(Side):
    """The rows of an encoder's weight, whose codes are kept from `lower` [F] on."""

    @classmethod
    def of_positive(
        cls,
        arithmetic: Arithmetic,
        weight_fd: Float[torch.Tensor, "F D"],
        bias: Float[torch.Tensor, " F"],
    ) -> Features:
        """Those whose codes are kept wherever they are positive, or as tokens say."""
        return cls(arithmetic, weight_fd, bias, torch.zeros_like(bias))

    @property
    def _reach(self):
        reach = self.lower.double() - self.bias
        return _less(reach - ROUNDING * (self.lower.double().abs() + self.bias.double().abs()))

    def _cut_of_rounded(self):
        summed = self._sum_error * (self._norm + self._lost)
        reach = _less(self._reach * self._inverse)
        return reach, self._inverse, -self._norm, -(self._lost + summed)

    def _cut_of_floats(self):
        reach = self._reach
        return reach, torch.ones_like(reach), -self._length, torch.zeros_like(reach)


class Tokens(Side):
    """Tokens; `lower` [n] is added to that of features."""

    def __init__(
        self,
        arithmetic: Arithmetic,
        rows_nd: Float[torch.Tensor, "n D"],
        lower: Float[torch.Tensor, " n"] | None = None,
    ):
        zeros = rows_nd.new_zeros(len(rows_nd))
        super().__init__(arithmetic, rows_nd, zeros, zeros if lower is None else lower)

    @property
    def _reach(self):
        return _less(_less(self.lower.double()))

    def _cut_of_rounded(self):
        lost = self._lost + self._gamma * self._norm
        return self._inverse, self._reach * self._inverse, lost, self._kept

    def _cut_of_floats(self):
        reach = self._reach
        ones, zeros = torch.ones_like(reach), torch.zeros_like(reach)
        return ones, reach, 2 * self._gamma * self._length, zeros


def rounding_of_sums(width: int) -> float:
    """γ: what a float32 product of rows of this width can lose, of the product of their norms."""
    return 1.01 * (width + 8) * UNIT_ROUNDOFF


def _less(value):
    return value - ROUNDING * value.abs()


def is_faster(
    name: str,
    is_right: Callable[[], bool],
    screened: Callable[[], Any],
    whole: Callable[[], Any],
    gain: float,
) -> bool:
    """Whether products of rounded rows are right here, and clearly faster than float32's.

    name: of the rounded numbers. screened, whole: what is timed, by either product. gain: the first
    may take at most this part of the time of the second. The log says what was found.
    """
    why = f"this torch has none of {name}"
    try:
        right = is_right()
        if right:
            ratio = best_time(screened) / best_time(whole)
            why = f"those of {name} take {ratio:.2f} of the time of float32"
            if ratio <= gain:
                logger.info("codes are screened by products of %s: %s", name, why)
                return True
        else:
            why = f"those of {name} are wrong here"
    except (AttributeError, RuntimeError) as error:
        logger.debug("products of %s: %s", name, error)
    logger.info("codes are found by products of float32: %s", why)
    return False


def best_time(function: Callable[[], Any]) -> float:
    """Seconds, the least of some."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
