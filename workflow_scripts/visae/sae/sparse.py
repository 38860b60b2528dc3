"""Exact training steps in time proportional to the active codes, for the CPU.

Of the five dense products of a step only the encoder's is needed in full, and of a large encoder
only in bytes (`visae.sae.screen`): the others touch one dictionary row per active code. Codes are
kept as compressed sparse rows; every kernel sums in a fixed order, so that results do not depend on
the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from visae.base.arrays import Float, Int
from visae.base.compiled import njit
from visae.base.pools import in_pieces
from visae.base.scratch import scratch
from visae.sae.adam import gradient
from visae.sae.screen import Features, Tokens
from visae.sae.screen_bytes import BYTES, Screen
from visae.sae.screened import is_screened
from visae.sae.vectors import FLOATS, INDEX, LANES, at, called, load, spread

ROWS_PER_BLOCK = 512

# Sums may be reordered for speed, but NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz", "arcp"}
_jit = njit(nogil=True, cache=True, fastmath=_FAST)
VECTORS = 4
"""Vectors of sums that are held in registers while rows are added to them."""


class SparseCodes(NamedTuple):
    """Active codes of a batch, ordered by row; numpy arrays."""

    row_starts: Int[np.ndarray, " B+1"]
    """int64: the codes of row b are at row_starts[b] : row_starts[b + 1]."""
    features: Int[np.ndarray, " active"]
    """int32."""
    values: Float[np.ndarray, " active"]
    """float32."""

    def at_least(self, threshold: float | np.floating) -> SparseCodes:
        """The codes that are not below `threshold`."""
        return SparseCodes(*_at_least(*self, np.float32(threshold)))

    def largest(self, k: int) -> SparseCodes:
        """The K largest codes of each row, of equal ones those of the first features."""
        return SparseCodes(*_largest(*self, k))

    def of_rows(self, rows: Int[np.ndarray, " rows"]) -> SparseCodes:
        """The codes of some rows, in the order of `rows`."""
        counts = np.diff(self.row_starts)[rows]
        ends = np.cumsum(counts)
        places = np.repeat(self.row_starts[rows] - (ends - counts), counts)
        places += np.arange(len(places))
        return SparseCodes(np.append(0, ends), self.features[places], self.values[places])

    @classmethod
    def merged(cls, pieces: Sequence[tuple[Int[np.ndarray, " _"], SparseCodes]]) -> SparseCodes:
        """The codes of all rows, of pieces that each have those of some: [(rows, codes)]."""
        counts = np.concatenate([np.diff(codes.row_starts) for _, codes in pieces])
        features, values = (
            np.concatenate(a) for a in zip(*(c[1:] for _, c in pieces), strict=True)
        )
        order = np.argsort(np.concatenate([rows for rows, _ in pieces]))
        return cls(np.append(0, np.cumsum(counts)), features, values).of_rows(order)


def collect_codes(
    normalised_bd: Float[torch.Tensor, "B D"],
    encoder_weight: Float[torch.Tensor, "F D"],
    encoder_bias: Float[torch.Tensor, " F"],
    lower: float | np.floating | Float[np.ndarray, ""] | Float[np.ndarray, " F"],
) -> SparseCodes:
    """The positive pre-activations that are at least `lower` (or NaN): SparseCodes.

    lower: float, or float32 array [F]. The pre-activations exist for some rows at a time only, and
    of a large encoder only those are computed that can be codes (`visae.sae.screen`).
    """
    features = len(encoder_weight)
    lower = np.array(np.broadcast_to(lower, features), np.float32)
    if is_screened(*encoder_weight.shape):
        encoder = Features(BYTES, encoder_weight, encoder_bias, torch.from_numpy(lower))
        return screened_codes(Tokens(BYTES, normalised_bd), encoder)
    threads = torch.get_num_threads()
    block = torch.empty(min(ROWS_PER_BLOCK, len(normalised_bd)), features)
    parts = []
    for rows_bd in normalised_bd.split(ROWS_PER_BLOCK):
        pre_bf = block[: len(rows_bd)]
        torch.addmm(encoder_bias, rows_bd, encoder_weight.T, out=pre_bf)
        pre = pre_bf.numpy()
        counts = np.empty(len(pre), np.int64)
        in_pieces(_count_rows, len(pre), threads, pre, lower, counts)
        ends = np.cumsum(counts)
        found = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float32)
        in_pieces(_fill_rows, len(pre), threads, pre, lower, ends - counts, *found)
        parts.append((counts, *found))
    return _joined(parts)


def screened_codes(tokens: Tokens, encoder: Features) -> SparseCodes:
    """The positive codes that reach `lower` of their token and feature together (or are NaN)."""
    parts, screen = [], Screen(encoder, ROWS_PER_BLOCK)
    for first in range(0, len(tokens.rows), ROWS_PER_BLOCK):
        found = screen.find(tokens, slice(first, first + ROWS_PER_BLOCK))
        counts, total = found.counts.copy(), found.counts.sum()
        packed = np.empty(total, np.int32), np.empty(total, np.float32)
        arguments = found.counts, len(encoder.rows), np.cumsum(counts) - counts
        threads = torch.get_num_threads()
        in_pieces(_pack_rows, len(counts), threads, *arguments, *found[1:], *packed)
        parts.append((counts, *packed))
    return _joined(parts)


def _joined(parts):
    counts, numbers, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return SparseCodes(np.concatenate([[0], np.cumsum(counts)]), numbers, values)


def set_sparse_gradients(
    normalised_bd: Float[torch.Tensor, "B D"],
    codes: SparseCodes,
    encoder: Float[torch.Tensor, "F D"],
    bias: Float[torch.Tensor, " F"],
    decoder: Float[torch.Tensor, "F D"],
    on_code_gradients: Callable[[np.ndarray], Any],
    averaged: int,
) -> tuple[np.floating, Float[torch.Tensor, "B D"]]:
    """Set `.grad` of the three parameters to those of Σ (x̂ − x)² / (B · averaged).

    Returns (the mean of (x̂ − x)² over elements, x̂ − x [B, D]: good until this thread's next call).

    codes: the active codes; others may be among them with value 0. on_code_gradients: called with
    the derivative by each of the codes, (x̂ − x) · dictionary row, unscaled, float32 array; what
    it leaves there goes on to the encoder. averaged: D for a mean over dimensions, 1 for a sum.
    """
    x, threads = normalised_bd.numpy(), torch.get_num_threads()
    residual, squares = scratch("residuals", np.float32, *x.shape), np.empty(len(x))
    grad_codes = np.empty_like(codes.values)
    rows = decoder.detach().numpy()
    in_pieces(_decode_rows, len(x), threads, x, *codes, rows, residual, squares, grad_codes)
    on_code_gradients(grad_codes)
    parts = [(len(bias), residual)]
    set_gradients_by_feature(x, codes, grad_codes, parts, (encoder, bias, decoder), averaged)
    return squares.sum() / x.size, torch.from_numpy(residual)


def set_gradients_by_feature(
    x_bd: Float[np.ndarray, "B D"],
    codes: SparseCodes,
    grad_codes: Float[np.ndarray, " active"],
    parts: Iterable[tuple[int, Float[np.ndarray, "B D"]]],
    parameters: Sequence[torch.Tensor],
    averaged: int,
) -> None:
    """Set `.grad` of encoder, bias and decoder, of the derivatives by codes and reconstructions.

    parts: (stop, half the derivative by reconstructions) of the features up to `stop` that no part
    before has. grad_codes: half the derivative by each code. Both are unscaled.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
    encoder, bias, decoder = (gradient(parameter).numpy() for parameter in parameters)
    scale, threads = np.float32(2 / (len(x_bd) * averaged)), torch.get_num_threads()
    starts, rows, values, grads = _by_feature(*codes, grad_codes, len(bias))

    def sum_rows(rows_bd, starts, weights, sums):
        arguments = rows_bd, _slices(rows_bd), starts, rows, weights, scale, sums
        in_pieces(_sum_rows, len(sums), threads, *arguments)

    sum_rows(x_bd, starts, grads, encoder)
    _sum_weights(starts, grads, scale, bias)
    first = 0
    for stop, residual in parts:
        sum_rows(residual, starts[first : stop + 1], values, decoder[first:stop])
        first = stop


def _slices(rows_nd):
    """Rows [n, D] as slices [S, n, width] that lie together, without the rest of D."""
    step = VECTORS * LANES
    whole = rows_nd.shape[1] // step * step
    slices = scratch("slices of rows", np.float32, whole // step, len(rows_nd), step)
    slices[:] = rows_nd[:, :whole].reshape(len(rows_nd), whole // step, step).swapaxes(0, 1)
    return slices


@_jit
def _count_rows(start, stop, pre_bf, lower_f, counts_b):
    for row in range(start, stop):
        count = 0
        for feature in range(pre_bf.shape[1]):
            value = pre_bf[row, feature]
            count += not (value < lower_f[feature] or value <= 0)
        counts_b[row] = count


@_jit
def _fill_rows(start, stop, pre_bf, lower_f, starts_b, features, values):
    # Every element is written and only the active ones move the position on: without a branch
    # that is hard to predict, this is several times faster.
    row_features = np.empty(pre_bf.shape[1] + 1, np.int32)
    row_values = np.empty(pre_bf.shape[1] + 1, np.float32)
    for row in range(start, stop):
        count = 0
        for feature in range(pre_bf.shape[1]):
            value = pre_bf[row, feature]
            row_features[count] = feature
            row_values[count] = value
            count += not (value < lower_f[feature] or value <= 0)
        for entry in range(count):
            features[starts_b[row] + entry] = row_features[entry]
            values[starts_b[row] + entry] = row_values[entry]


@_jit
def _pack_rows(start, stop, counts, stride, starts, columns, codes, features, values):
    for row in range(start, stop):
        for entry in range(counts[row]):
            features[starts[row] + entry] = columns[row * stride + entry]
            values[starts[row] + entry] = codes[row * stride + entry]


@_jit
def _at_least(row_starts, features, values, threshold):
    starts = np.zeros_like(row_starts)
    kept_features, kept_values = np.empty_like(features), np.empty_like(values)
    position = 0
    for row in range(len(row_starts) - 1):
        for entry in range(row_starts[row], row_starts[row + 1]):
            if not values[entry] < threshold:
                kept_features[position] = features[entry]
                kept_values[position] = values[entry]
                position += 1
        starts[row + 1] = position
    return starts, kept_features[:position], kept_values[:position]


@_jit
def _largest(row_starts, features, values, k):
    starts = np.zeros_like(row_starts)
    kept_features, kept_values = np.empty_like(features), np.empty_like(values)
    position = 0
    for row in range(len(row_starts) - 1):
        own = values[row_starts[row] : row_starts[row + 1]]
        cut, equal = np.float32(-np.inf), 0
        if len(own) > k:
            ordered = np.sort(own)  # NaN comes last, and so is kept
            cut = ordered[-k]
            for value in ordered[-k:]:
                equal += value == cut
        for entry in range(row_starts[row], row_starts[row + 1]):
            value = values[entry]
            equal -= value == cut
            if not (value < cut or (value == cut and equal < 0)):
                kept_features[position] = features[entry]
                kept_values[position] = value
                position += 1
        starts[row + 1] = position
    return starts, kept_features[:position], kept_values[:position]


@intrinsic
def _add_to_vectors(typing_context, sums, d, rows, numbers, weights, scale, start, stop):
    """Add what `_add_rows` says to sums[d : d + VECTORS · LANES]."""
    signature = types.void(sums, d, rows, numbers, weights, scale, start, stop)

    def generate(context, builder, signature, arguments):
        sums, d, rows, numbers, weights, scale, start, stop = arguments
        kinds = signature.args
        places = [builder.add(d, ir.Constant(INDEX, LANES * k)) for k in range(VECTORS)]
        width = builder.extract_value(context.make_array(kinds[0])(context, builder, sums).shape, 0)
        held = []
        for place in places:
            found = load(builder, at(context, builder, kinds[0], sums, place), FLOATS)
            held.append(cgutils.alloca_once_value(builder, found))
        one = ir.Constant(INDEX, 1)
        with cgutils.for_range_slice(builder, start, stop, one, INDEX) as (entry, _):
            number = builder.load(at(context, builder, kinds[3], numbers, entry))
            weight = builder.load(at(context, builder, kinds[4], weights, entry))
            factor = spread(builder, builder.fmul(weight, scale))
            first = builder.mul(builder.sext(number, INDEX), width)
            for place, total in zip(places, held, strict=True):
                here = at(context, builder, kinds[2], rows, builder.add(first, place))
                row, before = load(builder, here, FLOATS), builder.load(total)
                after = called(builder, "llvm.fmuladd.v16f32", FLOATS, factor, row, before)
                builder.store(after, total)
        for place, total in zip(places, held, strict=True):
            address = at(context, builder, kinds[0], sums, place)
            pointer = builder.bitcast(address, FLOATS.as_pointer())
            builder.store(builder.load(total), pointer, align=4)

    return signature, generate


@njit(nogil=True, fastmath=_FAST)
def _add_rows(sums, rows_nd, numbers, weights, scale, start, stop):
    """sums += Σ scale · weights[e] · rows_nd[numbers[e]] of the entries start … stop, in order."""
    width, step = len(sums), VECTORS * LANES
    whole = width // step * step
    for d in range(0, whole, step):
        _add_to_vectors(  # pyright: ignore[reportCallIssue]
            sums, d, rows_nd, numbers, weights, scale, start, stop
        )
    _add_rest(sums, whole, rows_nd, numbers, weights, scale, start, stop)


@njit(nogil=True, fastmath=_FAST)
def _add_rest(sums, first, rows_nd, numbers, weights, scale, start, stop):
    """The same of the dimensions from `first` on."""
    if first < len(sums):
        for entry in range(start, stop):
            row, weight = rows_nd[numbers[entry]], weights[entry] * scale
            for d in range(first, len(sums)):
                sums[d] += weight * row[d]


@_jit
def _decode_rows(
    start, stop, x_bd, row_starts, features, values, decoder_fd, residual_bd, squares_b, grad_codes
):
    """Per row: residual = Σ value · dictionary row − x, its squared norm, and its products."""
    width = x_bd.shape[1]
    for row in range(start, stop):
        residual = residual_bd[row]
        for d in range(width):
            residual[d] = -x_bd[row, d]
        codes = row_starts[row], row_starts[row + 1]
        _add_rows(residual, decoder_fd, features, values, np.float32(1), *codes)
        squares = np.float32(0)
        for d in range(width):
            squares += residual[d] * residual[d]
        squares_b[row] = squares
        for entry in range(row_starts[row], row_starts[row + 1]):
            atom, grad = decoder_fd[features[entry]], np.float32(0)
            for d in range(width):
                grad += residual[d] * atom[d]
            grad_codes[entry] = grad


@_jit
def _by_feature(row_starts, features, values, grad_codes, count):
    """The codes ordered by feature, then row: starts [F + 1], rows, values, grad_codes."""
    starts = np.zeros(count + 1, np.int64)
    for feature in features:
        starts[feature + 1] += 1
    starts = np.cumsum(starts)
    following = starts[:-1].copy()
    rows = np.empty(len(features), np.int32)
    sorted_values, sorted_grads = np.empty_like(values), np.empty_like(grad_codes)
    for row in range(len(row_starts) - 1):
        for entry in range(row_starts[row], row_starts[row + 1]):
            position = following[features[entry]]
            following[features[entry]] = position + 1
            rows[position] = row
            sorted_values[position] = values[entry]
            sorted_grads[position] = grad_codes[entry]
    return starts, rows, sorted_values, sorted_grads


@_jit
def _sum_rows(start, stop, rows_nd, slices_snw, starts, numbers, weights, scale, sums_fd):
    """Per feature: Σ scale · weights · rows_nd[numbers]. slices: from `_slices` of the rows."""
    step = VECTORS * LANES
    sums_fd[start:stop] = 0
    for s in range(len(slices_snw)):
        for feature in range(start, stop):
            sums = sums_fd[feature, s * step : (s + 1) * step]
            _add_to_vectors(  # pyright: ignore[reportCallIssue]
                sums,
                0,
                slices_snw[s],
                numbers,
                weights,
                scale,
                starts[feature],
                starts[feature + 1],
            )
    for feature in range(start, stop):
        _add_rest(
            sums_fd[feature],
            len(slices_snw) * step,
            rows_nd,
            numbers,
            weights,
            scale,
            starts[feature],
            starts[feature + 1],
        )


@njit(nogil=True, cache=True)  # the order of the sum is kept
def _sum_weights(starts, weights, scale, sums_f):
    for feature in range(len(sums_f)):
        total = np.float32(0)
        for entry in range(starts[feature], starts[feature + 1]):
            total += weights[entry] * scale
        sums_f[feature] = total
