"""Kernels of the screened product (`visae.sae.screen`), compiled for the CPU.

`_candidates` and `_dots` are written as LLVM vectors of 16 numbers. The order of their sums is then
the same on every processor, and a processor that knows AVX-512 packs what is found in one step.
All are in this one file because numba's cache on disk notices changes of the file of the
compiled function only, not of the functions that it calls.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from visae.base.compiled import njit
from visae.sae.screened import WIDTH_UNIT
from visae.sae.vectors import FLOATS, INDEX, INT, INTS, LANES, at, called, constant, load, spread

SUMS = WIDTH_UNIT // LANES
"""Vectors of partial sums in a dot product, so that one addition need not wait for the last."""
AVX512 = bool(get_host_cpu_features().get("avx512f"))
TOGETHER = 4 if AVX512 else 1
"""Dot products with one row that are computed at once, as the registers allow: it is read once, and
several others are under way from the second cache."""
LARGEST_BYTE = 127
SMALLEST_SCALE = np.float32(2.0**-40)
LARGEST_ENTRY = np.float32(2.0**55)
"""Rows with larger entries are not bounded: a product of two could overflow on its way."""

# Sums may be reordered for speed, but NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


@intrinsic
def _candidates(
    typing_context, row, first, factors, cut_0, cut_1, cut_2, cut_3, slack, offset, found, end
):
    """Write to found[end:] which of row[first : first + 16] are not below the cut: how many.

    The cut is Σ factors[k] · cut_k − slack. What is written is offset + the place in the row.
    """
    signature = types.int64(
        row, first, factors, cut_0, cut_1, cut_2, cut_3, slack, offset, found, end
    )

    def generate(context, builder, signature, arguments):
        row, first, factors, *cuts, slack, offset, found, end = arguments
        kinds = signature.args
        address = at(context, builder, kinds[0], row, first)
        if isinstance(kinds[0].dtype, types.Integer):
            values = builder.sitofp(load(builder, address, INTS), FLOATS)
        else:
            values = load(builder, address, FLOATS)
        cut = spread(builder, builder.fneg(slack))
        for number, terms in enumerate(cuts):
            terms = load(builder, at(context, builder, kinds[3 + number], terms, first), FLOATS)
            factor = spread(builder, builder.extract_value(factors, number))
            cut = called(builder, "llvm.fma.v16f32", FLOATS, terms, factor, cut)
        kept = builder.not_(builder.fcmp_ordered("<", values, cut))
        start = builder.trunc(builder.add(first, offset), INT)
        numbers = builder.add(spread(builder, start), constant(range(LANES)))
        _pack(builder, numbers, kept, at(context, builder, kinds[9], found, end))
        return builder.zext(builder.ctpop(builder.bitcast(kept, ir.IntType(LANES))), INDEX)

    return signature, generate


def _pack(builder, numbers, kept, target):
    """Write those of 16 `numbers` that are `kept` to `target`, one after another.

    With AVX-512 anything may follow them there. All 16 places are written then: the row's own, not
    read before they are written again, since no more were found than were looked at. A store of the
    kept ones alone takes an AMD EPYC ten times as long.
    """
    if not AVX512:
        nothing = ir.VoidType()
        called(builder, "llvm.masked.compressstore.v16i32", nothing, numbers, target, kept)
        return
    name, zeros = "llvm.x86.avx512.mask.compress.v16i32", constant([0] * LANES)
    packed = called(builder, name, INTS, numbers, zeros, kept)
    builder.store(packed, builder.bitcast(target, INTS.as_pointer()), align=4)


def _dots_of(count):
    """A function: float32 dot products of a row with `count` others, each summed in one order."""

    @intrinsic
    def dots(typing_context, left, right, columns, place):
        """Of left with right[columns[place]], right[columns[place + 1]] … : a tuple."""
        signature = types.UniTuple(types.float32, count)(left, right, columns, place)
        return signature, functools.partial(_generate_dots, count)

    return dots


def _generate_dots(count, context, builder, signature, arguments):
    left, right, columns, place = arguments
    kinds = signature.args
    width = builder.extract_value(context.make_array(kinds[0])(context, builder, left).shape, 0)
    starts = []
    for number in range(count):
        here = builder.add(place, ir.Constant(INDEX, number))
        column = builder.load(at(context, builder, kinds[2], columns, here))
        starts.append(builder.mul(builder.sext(column, INDEX), width))
    zeros = ir.Constant(FLOATS, [0.0] * LANES)
    sums = [[cgutils.alloca_once_value(builder, zeros) for _ in range(SUMS)] for _ in range(count)]
    for each in itertools.chain.from_iterable(sums):
        builder.store(zeros, each)
    step = ir.Constant(INDEX, WIDTH_UNIT)
    with cgutils.for_range_slice(builder, ir.Constant(INDEX, 0), width, step, INDEX) as (d, _):
        for lane in range(SUMS):
            here = builder.add(d, ir.Constant(INDEX, LANES * lane))
            own = load(builder, at(context, builder, kinds[0], left, here), FLOATS)
            for start, parts in zip(starts, sums, strict=True):
                address = at(context, builder, kinds[1], right, builder.add(start, here))
                other = load(builder, address, FLOATS)
                total = builder.load(parts[lane])
                total = called(builder, "llvm.fma.v16f32", FLOATS, own, other, total)
                builder.store(total, parts[lane])
    totals = [_summed(builder, [builder.load(each) for each in parts]) for parts in sums]
    return context.make_tuple(builder, signature.return_type, totals)


def _summed(builder, parts):
    """The sum of all numbers of some vectors."""
    while len(parts) > 1:
        parts = [builder.fadd(*parts[k : k + 2]) for k in range(0, len(parts), 2)]
    (total,), lanes = parts, LANES
    while lanes > 1:
        lanes //= 2
        halves = [
            builder.shuffle_vector(total, total, constant(range(k, k + lanes))) for k in (0, lanes)
        ]
        total = builder.fadd(*halves)
    return builder.extract_element(total, ir.Constant(INT, 0))


_one_dot, _dots = _dots_of(1), _dots_of(TOGETHER)


@njit(nogil=True, cache=True, fastmath=_FAST)
def to_bytes(start, stop, rows_nd, bytes_nd, measures_4n):
    """Round rows to bytes, and measure what that does.

    measures: 1 / scale; and in units of the scale the norm of the row, of what rounding takes from
    it, and of the bytes. Rows that are not bounded: 0, infinity, infinity and 0.
    """
    width = rows_nd.shape[1]
    most = np.zeros(1, np.int32)
    for n in range(start, stop):
        row, rounded = rows_nd[n], bytes_nd[n]
        bits, top = row.view(np.int32), np.int32(0)
        for d in range(width):  # the bits of magnitudes are in their order, and NaN is the last
            top = max(top, bits[d] & np.int32(0x7FFFFFFF))
        most[0] = top
        largest = most.view(np.float32)[0]
        if not largest < LARGEST_ENTRY:
            rounded[:] = 0
            measures_4n[0, n] = measures_4n[3, n] = 0
            measures_4n[1, n] = measures_4n[2, n] = np.inf
            continue
        inverse = np.float32(1) / max(largest / np.float32(LARGEST_BYTE), SMALLEST_SCALE)
        squares = lost = kept = np.float32(0)
        for d in range(width):
            value = row[d] * inverse
            whole = np.rint(value)
            rounded[d] = np.int8(whole)
            squares += value * value
            lost += (value - whole) * (value - whole)
            kept += whole * whole
        measures_4n[0, n] = inverse
        measures_4n[1, n] = np.sqrt(squares)
        measures_4n[2, n] = np.sqrt(lost)
        measures_4n[3, n] = np.sqrt(kept)


@njit(nogil=True, cache=True)
def find_candidates(
    start, stop, product_ac, cuts_4a, cuts_4c, slack, first_column, columns, counts_a, found
):
    """Which columns of each row of a product are not below Σ cuts_4a · cuts_4c − slack.

    The product is of the columns from `first_column` on, of so many `columns` in all. Those of row
    a are appended to the counts_a[a] that there are from found[a · columns] on.
    """
    part = product_ac.shape[1]
    whole = part // LANES * LANES
    cut_0, cut_1, cut_2, cut_3 = cuts_4c[0], cuts_4c[1], cuts_4c[2], cuts_4c[3]
    for a in range(start, stop):
        row = product_ac[a]
        factors = cuts_4a[0, a], cuts_4a[1, a], cuts_4a[2, a], cuts_4a[3, a]
        end = a * columns + counts_a[a]
        for c in range(0, whole, LANES):
            end += _candidates(  # pyright: ignore[reportCallIssue]
                row, c, factors, cut_0, cut_1, cut_2, cut_3, slack, first_column, found, end
            )
        for c in range(whole, part):
            cut = -slack
            for k in range(4):
                cut += factors[k] * cuts_4c[k, c]
            if not np.float32(row[c]) < cut:
                found[end] = first_column + c
                end += 1
        counts_a[a] = end - a * columns


@njit(nogil=True, cache=True)
def compute_candidates(
    start, stop, left_ad, right_bd, bias_a, bias_b, lower_a, lower_b, tile, counts_a, found, values
):
    """Codes of each row's candidates; those that are kept take the places of `found`, in order.

    Goes through the columns `tile` at a time, whose rows stay in the cache meanwhile.
    """
    columns = len(right_bd)
    place_a = np.arange(start, stop) * columns
    kept_a = place_a.copy()
    codes = np.empty(TOGETHER, np.float32)
    for first in range(0, columns, tile):
        for a in range(start, stop):
            place, kept = place_a[a - start], kept_a[a - start]
            end, last = a * columns + counts_a[a], place
            while last < end and found[last] < first + tile:
                last += 1
            place_a[a - start] = last
            while place < last:
                count = TOGETHER if last - place >= TOGETHER else 1
                if count == TOGETHER:
                    dots = _dots(left_ad[a], right_bd, found, place)  # pyright: ignore
                    for k in range(TOGETHER):
                        codes[k] = dots[k]
                else:
                    codes[0] = _one_dot(left_ad[a], right_bd, found, place)[0]  # pyright: ignore
                for k in range(count):
                    b = found[place + k]
                    code = codes[k] + (bias_a[a] + bias_b[b])
                    # Every code is written and only kept ones move the position on: which ones
                    # are is hard to predict.
                    found[kept], values[kept] = b, code
                    kept += not ((code < lower_a[a] + lower_b[b]) | (code <= 0))
                place += count
            kept_a[a - start] = kept
    for a in range(start, stop):
        counts_a[a] = kept_a[a - start] - a * columns
