"""The screened product on the CPU: rows are rounded to bytes, whose product is exact in int32.

Candidates are computed in float32 by one kernel, always in the same order of summation. So codes
are the same bits, and the kept ones the same set, whichever way candidates were found. There is a
second way, for processors whose products of bytes are no faster, and where candidates are many: the
float32 product of BLAS.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch

from visae.base.arrays import Float, Int
from visae.base.pools import in_pieces
from visae.base.scratch import scratch
from visae.sae import screened
from visae.sae.screen import UNIT_ROUNDOFF, WORST, Arithmetic, Rounded, Side, is_faster
from visae.sae.screen_kernels import (
    LARGEST_BYTE,
    compute_candidates,
    find_candidates,
    to_bytes,
)

GAIN = 0.6
"""Bytes are used where their product takes at most this part of the float32 product's time."""
COLUMNS = 1024
"""Columns that are multiplied together: their product is looked at while it is in the cache."""
TILE_BYTES = 2**20
"""Columns whose candidates are computed together have about so many: half of a core's cache."""
SMALLEST = 2.0**-100
"""What underflow can take off a product of float32."""


class Bytes(Arithmetic):
    """Scaled so that the largest entry of a row is 127."""

    def rounded(self, rows_nd: Float[torch.Tensor, "n D"]) -> Rounded:
        bytes_nd = torch.empty(rows_nd.shape, dtype=torch.int8)
        measures = np.empty((4, len(rows_nd)), np.float32)
        arguments = rows_nd.numpy(), bytes_nd.numpy(), measures
        in_pieces(to_bytes, len(rows_nd), torch.get_num_threads(), *arguments)
        return Rounded(bytes_nd, *torch.from_numpy(measures).double())

    def sum_error(self, width: int) -> float:
        return UNIT_ROUNDOFF  # of the product as float32


BYTES = Bytes()


class Found(NamedTuple):
    """Kept codes of each row, in order: those of row a at a·B … a·B + counts[a]; NaN is kept."""

    counts: Int[np.ndarray, " A"]
    columns: Int[np.ndarray, " A*B"]
    codes: Float[np.ndarray, " A*B"]


class Screen:
    """The codes of some tokens by an encoder, as far as they are kept.

    right: the Side whose rows are columns of the product; `find` is given the other, at most
    `rows` of it at once. A thread uses one instance at a time: it works in scratch arrays.
    """

    def __init__(self, right: Side, rows: int):
        self._right, columns = right, len(right.rows)
        # Of equal length, since each reads the other rows once more.
        tiles = max(1, round(4 * right.rows.numel() / TILE_BYTES))
        self._tile = -(-columns // tiles)
        self._by_bytes = bytes_are_faster()
        self._product = torch.from_numpy(
            scratch("screened product", np.float32, rows * min(columns, COLUMNS))
        )
        self._counts = np.empty(rows, np.int64)
        self._found = (
            scratch("found columns", np.int32, rows * columns),
            scratch("found codes", np.float32, rows * columns),
        )

    def find(self, left: Side, part: slice) -> Found:
        """The kept codes of a part of the rows of `left`; good until the next call."""
        rows, columns = left.arrays, self._right.arrays
        counts = self._counts[: len(rows.rows[part])]
        self._by_bytes = self._by_bytes and self._candidates(left, part, counts)
        if not self._by_bytes:
            self._candidates(left, part, counts)
        operands = rows.rows[part], columns.rows
        limits = rows.bias[part], columns.bias, rows.lower[part], columns.lower
        arguments = *operands, *limits, self._tile, counts, *self._found
        in_pieces(compute_candidates, len(counts), torch.get_num_threads(), *arguments)
        return Found(counts, *self._found)

    def _candidates(self, left, part, counts):
        """Set counts and found columns to the candidates: whether they are few."""
        right, total = self._right, len(self._right.rows)
        if self._by_bytes:
            cuts_4a, cuts_4b, slack = left.by_rounded, right.by_rounded, WORST
        else:
            cuts_4a, cuts_4b, slack = left.by_floats, right.by_floats, SMALLEST
        cuts_4a, cuts_4b = np.ascontiguousarray(cuts_4a.numpy()[:, part]), cuts_4b.numpy()
        counts[:] = 0
        for first in range(0, total, COLUMNS):
            columns = slice(first, min(first + COLUMNS, total))
            shape = len(counts), columns.stop - first
            product = self._product[: math.prod(shape)].view(shape)
            if self._by_bytes:
                product = product.view(torch.int32)
                byte_product(left.rounded[part], right.rounded[columns].T, product)
            else:
                torch.mm(left.rows[part], right.rows[columns].T, out=product)
            cuts = cuts_4a, np.ascontiguousarray(cuts_4b[:, columns])
            arguments = product.numpy(), *cuts, np.float32(slack), first, total, counts
            threads = torch.get_num_threads()
            in_pieces(find_candidates, len(counts), threads, *arguments, self._found[0])
            if self._by_bytes and counts.sum() > screened.CROWDED * len(counts) * columns.stop:
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

    def is_right():
        byte_product(*bytes_, whole)
        return torch.equal(whole.double(), floats[0].double() @ floats[1].double())

    return is_faster(
        "bytes",
        is_right,
        lambda: byte_product(*bytes_, whole),
        lambda: torch.mm(*floats, out=product),
        GAIN,
    )
