"""Kernels that visit only the active codes of an SAE, compiled for the CPU.

All are in this one file because numba's cache on disk notices changes of the file of the
compiled function only, not of the functions that it calls. Their arrays are passed one by one: with
a named tuple of them, taking codes in took 1.3 to 1.5 times as long.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from visae.base.arrays import Float
from visae.base.compiled import njit
from visae.base.scratch import aligned, scratch
from visae.sae.vectors import FLOATS, INDEX, LANES, at, called, load, spread

DECODE_WIDTH = 64
"""Dimensions decoded together: a constant, so that the inner loop is unrolled and vectorised."""


class ActiveCodes:
    """Active codes of n images: those of image i and feature f at end[i, f] … end[i, f + 1].

    A thread has one at a time: the arrays are its scratch arrays.
    """

    def __init__(self, images: int, patches: int, features: int):
        self.patch = scratch("patches of codes", np.int32, images, features * patches)
        self.value = scratch("values of codes", np.float32, images, features * patches)
        self.end = np.zeros((images, features + 1), np.int64)


def sliced(decoder_fd: Float[np.ndarray, "F D"]) -> Float[np.ndarray, "slices F width"]:
    """[F, D] as contiguous slices [ceil(D / DECODE_WIDTH), F, DECODE_WIDTH], zero-padded."""
    features, width = decoder_fd.shape
    slices = -(-width // DECODE_WIDTH)
    padded = aligned(np.float32, slices, features, DECODE_WIDTH)
    padded[-1:] = 0
    for number in range(slices):
        part = decoder_fd[:, number * DECODE_WIDTH : (number + 1) * DECODE_WIDTH]
        padded[number, :, : part.shape[1]] = part
    return padded


def decoded(images: int, patches: int, slices: int) -> Float[np.ndarray, "n slices P width"]:
    """A scratch array for the reconstructions of n images."""
    return scratch("reconstructions", np.float32, images, slices, patches, DECODE_WIDTH)


@njit(nogil=True, cache=True)
def map_moran(patches, values, start, stop, padded, neighbours, variance_floor):
    """Moran's I of one map from its active patches: (queen, rook), float64.

    patches[start:stop]: int, the active patches, ascending. values[start:stop]: float, their codes;
    all others are 0. (A slice would be counted as one more user of its array, for each map.)
    padded: from `Neighbours.padded_map`; zero on entry and on return. Both results are NaN
    where the map's variance does not exceed `variance_floor`.

    With z̄ expanded, Eq. 2 needs only sums over active patches. Cancellation is harmless
    while some patch is 0, since the variance is then at least z̄²/P; full maps are first
    shifted by their mean, to which I is invariant.
    """
    total = neighbours.patches
    shift = 0.0
    if stop - start == total:
        for k in range(start, stop):
            shift += values[k]
        shift /= total
    first = second = queen_edge = rook_edge = 0.0
    for k in range(start, stop):
        patch = patches[k]
        value = np.float64(values[k]) - shift
        padded[neighbours.position[patch]] = value
        first += value
        second += value * value
        queen_edge += value * neighbours.queen_degree[patch]
        rook_edge += value * neighbours.rook_degree[patch]
    # Each pair of neighbours once: right and below; below left and below right. All lie behind a
    # patch, so that it is not looked at again and is cleared.
    straight = diagonal = 0.0
    for k in range(start, stop):
        here = neighbours.position[patches[k]]
        below = here + neighbours.stride
        straight += padded[here] * (padded[here + 1] + padded[below])
        diagonal += padded[here] * (padded[below - 1] + padded[below + 1])
        padded[here] = 0.0
    mean = first / total
    squares = second - first * mean
    if not squares > variance_floor * total:
        return np.nan, np.nan
    queen_weights, rook_weights = neighbours.queen_weights, neighbours.rook_weights
    queen = 2 * (straight + diagonal) - 2 * mean * queen_edge + mean * mean * queen_weights
    rook = 2 * straight - 2 * mean * rook_edge + mean * mean * rook_weights
    return total * queen / (queen_weights * squares), total * rook / (rook_weights * squares)


@njit(nogil=True)
def add_evaluable(queen, rook, active, minimum_active, place, moran_sum, moran_images):
    """Add a map's Moran's I (NaN: not evaluable) where it has enough active patches.

    place: of its feature, on the last axis of moran_sum [2, M, F] and moran_images [M, F].
    """
    if np.isnan(queen):
        return
    for m in range(len(minimum_active)):
        if active >= minimum_active[m]:
            moran_sum[0, m, place] += queen
            moran_sum[1, m, place] += rook
            moran_images[m, place] += 1


@njit(nogil=True, cache=True)
def take_products(product_bnp, first, bias, threshold, code_patch, code_value, code_end):
    """Append the active codes of a block of features, from `first` on, to `ActiveCodes`.

    product_bnp: x · encoder without the bias.
    """
    features, images, patches = product_bnp.shape
    for b in range(features):
        f = first + b
        for i in range(images):
            stop = code_end[i, f]
            for p in range(patches):
                code = product_bnp[b, i, p] + bias[f]
                if code >= threshold[f] and code > 0:
                    code_patch[i, stop] = p
                    code_value[i, stop] = code
                    stop += 1
            code_end[i, f + 1] = stop


@njit(nogil=True, cache=True)
def take_found(counts, tokens, codes, patches, first, code_patch, code_value, code_end):
    """The same of codes that are known: counts, tokens and codes are those of `screen.Found`."""
    images = len(code_end)
    for b in range(len(counts)):
        f = first + b
        place = b * images * patches
        last = place + counts[b]
        for i in range(images):
            stop = code_end[i, f]
            while place < last and tokens[place] < (i + 1) * patches:
                if codes[place] > 0:  # which NaN is not
                    code_patch[i, stop] = tokens[place] - i * patches
                    code_value[i, stop] = codes[place]
                    stop += 1
                place += 1
            code_end[i, f + 1] = stop


@njit(nogil=True, cache=True)
def reduce_maps(
    code_patch,
    code_value,
    code_end,
    codes_max,
    firing_count,
    minimum_active,
    moran_sum,
    moran_images,
    padded,
    neighbours,
    variance_floor,
):
    """Fill the arrays of `SaeUnit` that are by feature, from the arrays of `ActiveCodes`."""
    # From how many active patches on a map is looked at:
    least = neighbours.patches + 1
    for minimum in minimum_active:
        least = min(least, max(minimum, 1))
    for i in range(len(code_end)):
        patches, values = code_patch[i], code_value[i]
        for f in range(len(firing_count)):
            start, stop = code_end[i, f], code_end[i, f + 1]
            largest = np.float32(0)
            for k in range(start, stop):
                largest = max(largest, values[k])
            codes_max[i, f] = largest
            active = stop - start
            firing_count[f] += active
            if active < least:
                continue
            queen, rook = map_moran(
                patches, values, start, stop, padded, neighbours, variance_floor
            )
            add_evaluable(queen, rook, active, minimum_active, f, moran_sum, moran_images)


@njit(nogil=True, cache=True)
def moran_of_channels(
    x_npd, minimum_active, moran_sum, moran_images, padded, neighbours, variance_floor
):
    """Add up Moran's I of the channels of n images, all of whose patches are active.

    x_npd: float32 [n, P, D]. Adds to the arrays of `RawUnit`.
    """
    images, patches, width = x_npd.shape
    every_patch = np.arange(patches)
    for i in range(images):
        maps_dp = np.ascontiguousarray(x_npd[i].T)
        for d in range(width):
            queen, rook = map_moran(
                every_patch, maps_dp[d], 0, patches, padded, neighbours, variance_floor
            )
            add_evaluable(queen, rook, patches, minimum_active, d, moran_sum, moran_images)


@intrinsic
def _add_codes(typing_context, sums, rows, places, numbers, values, stop):
    """Add values[k] · rows[numbers[k]] to sums[places[k]] for k < stop, in order.

    Rows and sums are `DECODE_WIDTH` wide.
    """
    signature = types.void(sums, rows, places, numbers, values, stop)

    def generate(context, builder, signature, arguments):
        sums, rows, places, numbers, values, stop = arguments
        kinds = signature.args
        width = ir.Constant(INDEX, DECODE_WIDTH)

        def start_of(kind, indices, k):
            index = builder.load(at(context, builder, kind, indices, k))
            return builder.mul(builder.sext(index, INDEX), width)

        zero, one = ir.Constant(INDEX, 0), ir.Constant(INDEX, 1)
        with cgutils.for_range_slice(builder, zero, stop, one, INDEX) as (k, _):
            target, source = start_of(kinds[2], places, k), start_of(kinds[3], numbers, k)
            factor = spread(builder, builder.load(at(context, builder, kinds[4], values, k)))
            for w in range(0, DECODE_WIDTH, LANES):
                step = ir.Constant(INDEX, w)
                here = at(context, builder, kinds[1], rows, builder.add(source, step))
                place = at(context, builder, kinds[0], sums, builder.add(target, step))
                row, before = load(builder, here, FLOATS), load(builder, place, FLOATS)
                after = called(builder, "llvm.fmuladd.v16f32", FLOATS, factor, row, before)
                builder.store(after, builder.bitcast(place, FLOATS.as_pointer()), align=4)

    return signature, generate


@njit(nogil=True, cache=True, fastmath={"contract"})
def decode(
    x_npd, decoder_sfw, code_patch, code_value, code_end, reconstructions_nspw, reconstructions_max
):
    """Decode n images from their active codes; fills the reconstructions and their maxima [n, D].

    Returns (Σ‖x − x̂‖² over tokens, Σ(x − x̂) over tokens and dimensions).
    """
    images, patches, width = x_npd.shape
    slices, features, _ = decoder_sfw.shape
    most = 0
    for i in range(images):
        most = max(most, code_end[i, features])
    code_feature = np.empty((images, most), np.int32)
    for i in range(images):
        for f in range(features):
            code_feature[i, code_end[i, f] : code_end[i, f + 1]] = f
    for s in range(slices):  # outside, so that a slice of the decoder is read once for all images
        for i in range(images):
            reconstructions_nspw[i, s] = 0
            _add_codes(  # pyright: ignore[reportCallIssue]
                reconstructions_nspw[i, s],
                decoder_sfw[s],
                code_patch[i],
                code_feature[i],
                code_value[i],
                code_end[i, features],
            )
    error = residual = 0.0
    largest = np.empty(DECODE_WIDTH, np.float32)
    for i in range(images):
        for s in range(slices):
            reconstruction, start = reconstructions_nspw[i, s], s * DECODE_WIDTH
            part = min(DECODE_WIDTH, width - start)
            largest[:] = reconstruction[0]
            for p in range(patches):
                for w in range(DECODE_WIDTH):
                    value = reconstruction[p, w]
                    largest[w] = value if value > largest[w] else largest[w]
                for w in range(part):
                    difference = np.float64(x_npd[i, p, start + w]) - np.float64(
                        reconstruction[p, w]
                    )
                    error += difference * difference
                    residual += difference
            reconstructions_max[i, start : start + part] = largest[:part]
    return error, residual


@njit(nogil=True, cache=True)
def insert_largest(codes_nf, first, largest_ft, images_ft, least_f):
    """Take the codes of the images from `first` on into each feature's largest, in place.

    Of equal codes the one that came first goes first.
    """
    images, features = codes_nf.shape
    last = largest_ft.shape[1] - 1
    for i in range(images):
        for f in range(features):
            code = codes_nf[i, f]
            least_f[f] = min(least_f[f], code)
            if code <= largest_ft[f, last]:
                continue
            t = last
            while t > 0 and largest_ft[f, t - 1] < code:
                largest_ft[f, t] = largest_ft[f, t - 1]
                images_ft[f, t] = images_ft[f, t - 1]
                t -= 1
            largest_ft[f, t] = code
            images_ft[f, t] = first + i
