"""The screened product: codes that can reach a threshold are found by a product of bytes.

Of the pre-activations p = x·w + b of a token x with all features w, about one in a hundred is
kept. Rows are rounded to bytes, X ≈ q_x = round(X) with X = x / s_x, and W ≈ q_w alike. The product
of bytes Σ q_x q_w is exact: it is summed in int32. With the inequality of Cauchy and Schwarz,

    |Σ X W − Σ q_x q_w| = |Σ (X − q_x) W + Σ q_x (W − q_w)| ≤ ‖X − q_x‖ ‖W‖ + ‖q_x‖ ‖W − q_w‖.

The float32 product d of x and w, summed in any order, is within γ Σ |x w| ≤ γ ‖x‖ ‖w‖ of Σ x w,
where γ = D u / (1 − D u) and u = 2⁻²⁴ (Higham 2002, section 3.1). So d + b ≥ t implies

    Σ q_x q_w ≥ (t − b) / (s_x s_w) − ‖W‖ (‖X − q_x‖ + γ ‖X‖) − ‖q_x‖ ‖W − q_w‖.

Every other code is below t, and is never computed. Those that remain, the candidates, are computed
in float32, always in the same order of summation. So codes are the same bits, and the kept ones
the same set, whichever way candidates were found. There is a second way, for processors whose
products of bytes are no faster, and where candidates are many: the float32 product of BLAS, which
is within 2 γ ‖x‖ ‖w‖ of d.

Rounding in the bound itself: norms and terms are float32 and made larger by more than a sum of D
can lose. What underflows is less than the 1 (in units of s_x s_w) that is taken off. Rows with
entries from 2⁵⁵ on, infinite or NaN have no bound: all their codes are candidates.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import time
from typing import NamedTuple

import numpy as np
import torch

from visae.base.arrays import Float, Int
from visae.base.pools import in_pieces
from visae.sae.screen_kernels import (
    LARGEST_BYTE,
    WIDTH_UNIT,
    compute_candidates,
    find_candidates,
    to_bytes,
)

logger = logging.getLogger(__name__)

SCREENED_WEIGHTS = 2**20
"""Encoders of at least so many weights are screened. It depends on nothing but the SAE's shape,
because codes of the two products differ by rounding."""
CROWDED = 1 / 8
"""Part of the codes: where more are candidates, bytes save nothing."""
GAIN = 0.6
"""Bytes are used where their product takes at most this part of the float32 product's time."""
COLUMNS = 1024
"""Columns that are multiplied together: their product is looked at while it is in the cache."""
TILE_BYTES = 2**20
"""Columns whose candidates are computed together: half of a core's cache."""
UNIT_ROUNDOFF = 2.0**-24
ROUNDING = 2.0**-20
"""What is taken off every term of the cut: several roundings of a float32."""
WORST, SMALLEST = 1.001, 2.0**-100
"""What underflow can take off a product of bytes, and off one of float32."""


class Side:
    """Rows [n, D] as one side of a screened product: the features of an encoder, or tokens.

    Codes are kept that reach the sum of `lower` of both sides. `by_bytes` and `by_floats`, float32
    [4, n]: a code is a candidate where its product reaches the sum of four products of theirs.
    """

    def __init__(
        self,
        rows_nd: Float[torch.Tensor, "n D"],
        bias: Float[np.ndarray, " n"],
        lower: Float[np.ndarray, " n"],
    ):
        self.rows, self.bias, self.lower = rows_nd.detach().contiguous(), bias, lower
        self.bytes = torch.empty(self.rows.shape, dtype=torch.int8)
        measures = np.empty((4, len(self.rows)), np.float32)
        arguments = self.rows.numpy(), self.bytes.numpy(), measures
        in_pieces(to_bytes, len(self.rows), torch.get_num_threads(), *arguments)
        width = self.rows.shape[1]
        more = 1 + 2 * ROUNDING + width * UNIT_ROUNDOFF  # than what float32 sums can have lost
        self._gamma = 1.01 * (width + 8) * UNIT_ROUNDOFF
        self._inverse, norm, lost, kept = measures.astype(np.float64)
        self._norm, self._kept = more * norm, more * kept
        self._lost = more * lost + 4 * UNIT_ROUNDOFF * self._norm
        unbounded = np.full_like(norm, np.inf)
        self._length = np.divide(self._norm, self._inverse, unbounded, where=self._inverse > 0)
        with np.errstate(over="ignore", invalid="ignore"):
            self.by_bytes, self.by_floats = (np.stack(f).astype(np.float32) for f in self._cuts())

    def _cuts(self):
        raise NotImplementedError


class Features(Side):
    """The rows of an encoder's weight, whose codes are kept from `lower` [F] on."""

    @classmethod
    def of_positive(
        cls, weight_fd: Float[torch.Tensor, "F D"], bias: Float[torch.Tensor, " F"]
    ) -> Features:
        """Those whose codes are kept wherever they are positive, or as tokens say."""
        return cls(weight_fd, bias.numpy(), np.zeros(len(bias), np.float32))

    def _cuts(self):
        reach = self.lower.astype(np.float64) - self.bias
        reach = _less(reach - ROUNDING * (np.abs(self.lower) + np.abs(self.bias)))
        ones, zeros = np.ones_like(reach), np.zeros_like(reach)
        rounding = UNIT_ROUNDOFF * (self._norm + self._lost)  # of the product of bytes as float32
        yield _less(reach * self._inverse), self._inverse, -self._norm, -(self._lost + rounding)
        yield reach, ones, -self._length, zeros


class Tokens(Side):
    """Tokens; `lower` [n] is added to that of features."""

    def __init__(
        self, rows_nd: Float[torch.Tensor, "n D"], lower: Float[np.ndarray, " n"] | None = None
    ):
        zeros = np.zeros(len(rows_nd), np.float32)
        super().__init__(rows_nd, zeros, zeros if lower is None else lower)

    def _cuts(self):
        lower = _less(_less(self.lower.astype(np.float64)))
        ones, zeros = np.ones_like(lower), np.zeros_like(lower)
        lost = self._lost + self._gamma * self._norm
        yield self._inverse, lower * self._inverse, lost, self._kept
        yield ones, lower, 2 * self._gamma * self._length, zeros


def _less(value):
    return value - ROUNDING * np.abs(value)


class Found(NamedTuple):
    """Kept codes of each row, in order: those of row a at a·B … a·B + counts[a]; NaN is kept."""

    counts: Int[np.ndarray, " A"]
    columns: Int[np.ndarray, " A*B"]
    codes: Float[np.ndarray, " A*B"]


def is_screened(weight_fd: Float[torch.Tensor, "F D"]) -> bool:
    """Whether products with an encoder of this shape are screened, on whatever processor."""
    return weight_fd.numel() >= SCREENED_WEIGHTS and weight_fd.shape[1] % WIDTH_UNIT == 0


class Screen:
    """The codes of some tokens by an encoder, as far as they are kept.

    right: the Side whose rows are columns of the product; `find` is given the other, at most
    `rows` of it at once. An instance serves one thread.
    """

    def __init__(self, right: Side, rows: int):
        self._right, columns = right, len(right.rows)
        self._tile = max(1, TILE_BYTES // (4 * right.rows.shape[1]))
        self._by_bytes = bytes_are_faster()
        self._product = torch.empty(rows * min(columns, COLUMNS))
        self._counts = np.empty(rows, np.int64)
        self._found = np.empty(rows * columns, np.int32), np.empty(rows * columns, np.float32)

    def find(self, left: Side, part: slice) -> Found:
        """The kept codes of a part of the rows of `left`; good until the next call."""
        right, rows_ad = self._right, left.rows[part]
        counts = self._counts[: len(rows_ad)]
        self._by_bytes = self._by_bytes and self._candidates(left, part, counts)
        if not self._by_bytes:
            self._candidates(left, part, counts)
        rows = rows_ad.numpy(), right.rows.numpy()
        limits = left.bias[part], right.bias, left.lower[part], right.lower
        arguments = *rows, *limits, self._tile, counts, *self._found
        in_pieces(compute_candidates, len(rows_ad), torch.get_num_threads(), *arguments)
        return Found(counts, *self._found)

    def _candidates(self, left, part, counts):
        """Set counts and found columns to the candidates: whether they are few."""
        right, total = self._right, len(self._right.rows)
        cuts_4a, cuts_4b, slack = left.by_floats[:, part], right.by_floats, SMALLEST
        if self._by_bytes:
            cuts_4a, cuts_4b, slack = left.by_bytes[:, part], right.by_bytes, WORST
        counts[:] = 0
        for first in range(0, total, COLUMNS):
            columns = slice(first, min(first + COLUMNS, total))
            shape = len(counts), columns.stop - first
            product = self._product[: math.prod(shape)].view(shape)
            if self._by_bytes:
                product = product.view(torch.int32)
                byte_product(left.bytes[part], right.bytes[columns].T, product)
            else:
                torch.mm(left.rows[part], right.rows[columns].T, out=product)
            cuts = np.ascontiguousarray(cuts_4a), np.ascontiguousarray(cuts_4b[:, columns])
            arguments = product.numpy(), *cuts, np.float32(slack), first, total, counts
            threads = torch.get_num_threads()
            in_pieces(find_candidates, len(counts), threads, *arguments, self._found[0])
            if self._by_bytes and counts.sum() > CROWDED * len(counts) * columns.stop:
                return False
        return True


def byte_product(
    left: Int[torch.Tensor, "A D"], right: Int[torch.Tensor, "D B"], out: Int[torch.Tensor, "A B"]
) -> None:
    """Write the int32 product of two int8 matrices to `out`."""
    torch.ops.aten._int_mm.out(left, right, out=out)


@functools.cache
def bytes_are_faster() -> bool:
    """Whether this processor's products of bytes are right, and clearly faster than float32's.

    Without instructions for them (VNNI) they are slow, and some libraries' sums of two
    products are cut off at 16 bits: the largest bytes there are show it.
    """
    signs = torch.randint(0, 2, (1040, 768), generator=torch.Generator().manual_seed(0)) * 2 - 1
    signs[:2] = signs[-2:] = 1
    left, right = (LARGEST_BYTE * signs).split([256, 784])
    floats, product = (left.float(), right.float().T), torch.empty(256, 784)
    whole, bytes_ = product.view(torch.int32), (left.to(torch.int8), right.to(torch.int8).T)
    why = "this torch has none of bytes"
    with contextlib.suppress(AttributeError, RuntimeError):
        byte_product(*bytes_, whole)
        why = "those of bytes are wrong here"
        if torch.equal(whole.double(), floats[0].double() @ floats[1].double()):
            ratio = _best(lambda: byte_product(*bytes_, whole))
            ratio /= _best(lambda: torch.mm(*floats, out=product))
            why = f"those of bytes take {ratio:.2f} of the time of float32"
            if ratio <= GAIN:
                logger.info("codes are screened by products of bytes: %s", why)
                return True
    logger.info("codes are screened by products of float32: %s", why)
    return False


def _best(function):
    """Seconds, the least of some."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
