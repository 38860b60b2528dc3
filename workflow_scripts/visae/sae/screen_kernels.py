"""Kernels of the screened product (`visae.sae.screen`), compiled for the CPU.

`_candidates` and `_dot` are written as LLVM vectors of 16 numbers. The order of their sums is then
the same on every processor, and a processor that knows AVX-512 packs what is found in one step.
All are in this one file because numba's cache on disk notices changes of the file of the
compiled function only, not of the functions that it calls.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from visae.base.compiled import njit
from visae.sae.screened import WIDTH_UNIT

LANES = 16
SUMS = WIDTH_UNIT // LANES
"""Vectors of partial sums in a dot product, so that one addition need not wait for the last."""
LARGEST_BYTE = 127
SMALLEST_SCALE = np.float32(2.0**-40)
LARGEST_ENTRY = np.float32(2.0**55)
"""Rows with larger entries are not bounded: a product of two could overflow on its way."""

_FLOAT, _INT, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
# Sums may be reordered for speed, but NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


def _numbers(values):
    return ir.Constant(ir.VectorType(_INT, len(values)), list(values))


def _at(context, builder, kind, array, index):
    """The address of array[index]."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=4)


def _spread(builder, scalar):
    """A vector of 16 times the scalar."""
    empty = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, empty, _numbers([0] * LANES))


def _called(builder, name, result, *arguments):
    kinds = [argument.type for argument in arguments]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, kinds), name)
    return builder.call(function, arguments)


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
        address = _at(context, builder, kinds[0], row, first)
        if isinstance(kinds[0].dtype, types.Integer):
            values = builder.sitofp(_load(builder, address, _INTS), _FLOATS)
        else:
            values = _load(builder, address, _FLOATS)
        cut = _spread(builder, builder.fneg(slack))
        for number, terms in enumerate(cuts):
            terms = _load(builder, _at(context, builder, kinds[3 + number], terms, first), _FLOATS)
            factor = _spread(builder, builder.extract_value(factors, number))
            cut = _called(builder, "llvm.fma.v16f32", _FLOATS, terms, factor, cut)
        kept = builder.not_(builder.fcmp_ordered("<", values, cut))
        start = builder.trunc(builder.add(first, offset), _INT)
        numbers = builder.add(_spread(builder, start), _numbers(range(LANES)))
        target = _at(context, builder, kinds[9], found, end)
        nothing = ir.VoidType()
        _called(builder, "llvm.masked.compressstore.v16i32", nothing, numbers, target, kept)
        return builder.zext(builder.ctpop(builder.bitcast(kept, ir.IntType(LANES))), _INDEX)

    return signature, generate


@intrinsic
def _dot(typing_context, left, right, width):
    """The float32 dot product of the first `width` elements, always summed in one order."""
    signature = types.float32(left, right, width)

    def generate(context, builder, signature, arguments):
        left, right, width = arguments
        zeros = ir.Constant(_FLOATS, [0.0] * LANES)
        sums = [cgutils.alloca_once_value(builder, zeros) for _ in range(SUMS)]
        for each in sums:
            builder.store(zeros, each)
        start, step = ir.Constant(_INDEX, 0), ir.Constant(_INDEX, WIDTH_UNIT)
        with cgutils.for_range_slice(builder, start, width, step, _INDEX) as (index, _):
            for number, each in enumerate(sums):
                here = builder.add(index, ir.Constant(_INDEX, LANES * number))
                pair = [
                    _load(builder, _at(context, builder, kind, array, here), _FLOATS)
                    for kind, array in zip(signature.args, (left, right), strict=False)
                ]
                total = _called(builder, "llvm.fma.v16f32", _FLOATS, *pair, builder.load(each))
                builder.store(total, each)
        parts = [builder.load(each) for each in sums]
        while len(parts) > 1:
            parts = [builder.fadd(*parts[k : k + 2]) for k in range(0, len(parts), 2)]
        (total,), lanes = parts, LANES
        while lanes > 1:
            lanes //= 2
            halves = [
                builder.shuffle_vector(total, total, _numbers(range(k, k + lanes)))
                for k in (0, lanes)
            ]
            total = builder.fadd(*halves)
        return builder.extract_element(total, ir.Constant(_INT, 0))

    return signature, generate


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
    columns, width = right_bd.shape
    place_a = np.arange(start, stop) * columns
    kept_a = place_a.copy()
    for first in range(0, columns, tile):
        for a in range(start, stop):
            place, kept = place_a[a - start], kept_a[a - start]
            end = a * columns + counts_a[a]
            while place < end and found[place] < first + tile:
                b = found[place]
                code = _dot(left_ad[a], right_bd[b], width)  # pyright: ignore[reportCallIssue]
                code += bias_a[a] + bias_b[b]
                # Every code is written and only kept ones move the position on: which ones are
                # is hard to predict.
                found[kept], values[kept] = b, code
                kept += not ((code < lower_a[a] + lower_b[b]) | (code <= 0))
                place += 1
            place_a[a - start], kept_a[a - start] = place, kept
    for a in range(start, stop):
        counts_a[a] = kept_a[a - start] - a * columns
