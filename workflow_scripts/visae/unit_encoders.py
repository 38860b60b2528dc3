"""One SAE applied to one unit of images: all that the metrics need, in one go.

Two encoders give the same numbers up to rounding. On the CPU the encoder product is the one
dense step: each block of features is thresholded while it is in the cache, and firing
counts, maxima, Moran's I and the reconstruction visit only the active codes. On CUDA dense
products are faster than sparse ones.
"""

import numpy as np
import torch
from numba import njit

from visae.moran import Neighbours, dense_moran, map_moran, sum_evaluable
from visae.reductions import SaeUnit

DECODE_WIDTH = 64
"""Dimensions decoded together, a constant so that the inner loop is unrolled and vectorised."""


class SparseEncoder:
    """For the CPU. An instance may be called from several threads.

    sae: a `SparseAutoencoder`. grid: (H, W). minimum_active: minimum numbers of active patches
    for Moran's I (none: it is not computed). variance_floor: see `visae.moran`.

    A call allocates 8·n·P·F bytes for the case that every code is active, of which the
    operating system provides only what is used: 8 bytes per active code.
    """

    unit_images = 4
    """The product over 4 images is as fast as a large one, and its block of 256 features fits
    into 1 MB of cache."""
    feature_block = 256

    def __init__(self, sae, grid, minimum_active, variance_floor):
        self._weight, self._bias = sae.encoder_weight, sae.encoder_bias.numpy()
        self._threshold = sae.threshold.expand(sae.features).contiguous().numpy()
        self._decoder = _sliced(sae.decoder_weight.numpy())
        self._neighbours = Neighbours.of_grid(grid)
        self._minimum_active = np.array(minimum_active, np.int64)
        self._variance_floor = variance_floor

    def __call__(self, x_npd):
        """The `SaeUnit` of normalised activations: a float32 tensor [n, P, D]."""
        images, patches, width = x_npd.shape
        features = len(self._weight)
        codes = _Codes(images, patches, features)
        unit = SaeUnit(
            codes_max=np.empty((images, features), np.float32),
            reconstructions_max=np.empty((images, width), np.float32),
            firing_count=np.zeros(features, np.int64),
            squared_error=0.0,
            moran_sum=np.zeros((2, len(self._minimum_active), features)),
            moran_images=np.zeros((len(self._minimum_active), features), np.int64),
        )
        tokens_dt = x_npd.flatten(0, 1).T
        product = torch.empty(min(self.feature_block, features), images * patches)
        padded = self._neighbours.padded_map()
        for start in range(0, features, self.feature_block):
            weight = self._weight[start : start + self.feature_block]
            block = torch.mm(weight, tokens_dt, out=product[: len(weight)])
            _reduce_block(
                block.numpy().reshape(len(weight), images, patches),
                start,
                self._bias,
                self._threshold,
                codes.patch,
                codes.value,
                codes.end,
                unit.codes_max,
                unit.firing_count,
                self._minimum_active,
                unit.moran_sum,
                unit.moran_images,
                padded,
                self._neighbours,
                self._variance_floor,
            )
        unit.squared_error = _decode(
            x_npd.numpy(),
            self._decoder,
            codes.patch,
            codes.value,
            codes.end,
            unit.reconstructions_max,
        )
        return unit


class _Codes:
    """Active codes of n images: those of image i and feature f at end[i, f] … end[i, f + 1]."""

    def __init__(self, images, patches, features):
        self.patch = np.empty((images, features * patches), np.int32)
        self.value = np.empty((images, features * patches), np.float32)
        self.end = np.zeros((images, features + 1), np.int64)


def _sliced(decoder_fd):
    """[F, D] as contiguous slices [ceil(D / DECODE_WIDTH), F, DECODE_WIDTH], zero-padded."""
    features, width = decoder_fd.shape
    slices = -(-width // DECODE_WIDTH)
    padded = np.zeros((slices, features, DECODE_WIDTH), np.float32)
    for number in range(slices):
        part = decoder_fd[:, number * DECODE_WIDTH : (number + 1) * DECODE_WIDTH]
        padded[number, :, : part.shape[1]] = part
    return padded


@njit(nogil=True, cache=True)
def _reduce_block(
    product_bnp,
    first,
    bias,
    threshold,
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
    """Threshold a block of features and reduce its active codes, all in one visit.

    product_bnp: x · encoder without the bias, for the features from `first` on. Appends to
    the codes (see `_Codes`) and fills the block's part of the arrays of `SaeUnit`.
    """
    features, images, patches = product_bnp.shape
    least_active = max(minimum_active.min(), 1) if len(minimum_active) else patches + 1
    for b in range(features):
        f = first + b
        for i in range(images):
            start = end = code_end[i, f]
            largest = np.float32(0)
            for p in range(patches):
                code = product_bnp[b, i, p] + bias[f]
                if code >= threshold[f] and code > 0:
                    code_patch[i, end] = p
                    code_value[i, end] = code
                    end += 1
                    if code > largest:
                        largest = code
            code_end[i, f + 1] = end
            codes_max[i, f] = largest
            active = end - start
            firing_count[f] += active
            if active < least_active:
                continue
            queen, rook = map_moran(
                code_patch[i, start:end],
                code_value[i, start:end],
                padded,
                neighbours,
                variance_floor,
            )
            if not np.isnan(queen):
                for m in range(len(minimum_active)):
                    if active >= minimum_active[m]:
                        moran_sum[0, m, f] += queen
                        moran_sum[1, m, f] += rook
                        moran_images[m, f] += 1


@njit(nogil=True, cache=True, fastmath={"contract"})
def _decode(x_npd, decoder_sfw, code_patch, code_value, code_end, reconstructions_max):
    """Decode n images from their active codes; returns Σ‖x − x̂‖² and fills the maxima [n, D]."""
    images, patches, width = x_npd.shape
    slices, features, _ = decoder_sfw.shape
    reconstruction = np.empty((patches, DECODE_WIDTH), np.float32)
    error = 0.0
    for i in range(images):
        for s in range(slices):
            reconstruction[:] = 0
            for f in range(features):
                for k in range(code_end[i, f], code_end[i, f + 1]):
                    patch, value = code_patch[i, k], code_value[i, k]
                    for w in range(DECODE_WIDTH):
                        reconstruction[patch, w] += value * decoder_sfw[s, f, w]
            start = s * DECODE_WIDTH
            for w in range(min(DECODE_WIDTH, width - start)):
                reconstructions_max[i, start + w] = reconstruction[0, w]
            for p in range(patches):
                for w in range(min(DECODE_WIDTH, width - start)):
                    value = reconstruction[p, w]
                    if value > reconstructions_max[i, start + w]:
                        reconstructions_max[i, start + w] = value
                    difference = np.float64(x_npd[i, p, start + w]) - np.float64(value)
                    error += difference * difference
    return error


class DenseEncoder:
    """For CUDA; float32 products (TF32 would move codes across the threshold).

    Arguments as for `SparseEncoder`; `sae` is on the device to use.
    """

    unit_images = 16
    feature_block = 4096

    def __init__(self, sae, grid, minimum_active, variance_floor):
        self._sae, self._grid = sae, grid
        self._minimum_active, self._variance_floor = list(minimum_active), variance_floor

    def __call__(self, x_npd):
        """The `SaeUnit` of normalised activations: a float32 tensor [n, P, D] on the device."""
        sae, shape = self._sae, x_npd.shape
        tokens_td = x_npd.flatten(0, 1)
        reconstruction = torch.zeros_like(tokens_td)
        threshold = sae.threshold.expand(sae.features)
        blocks = []
        for start in range(0, sae.features, self.feature_block):
            block = slice(start, start + self.feature_block)
            codes = torch.addmm(sae.encoder_bias[block], tokens_td, sae.encoder_weight[block].T)
            codes.relu_().masked_fill_(codes < threshold[block], 0)
            reconstruction.addmm_(codes, sae.decoder_weight[block])
            blocks.append(self._reduce(codes.unflatten(0, shape[:2])))
        codes_max, firing_count, moran_sum, moran_images = (
            torch.cat(parts, dim=-1).cpu().numpy() for parts in zip(*blocks, strict=True)
        )
        return SaeUnit(
            codes_max=codes_max,
            reconstructions_max=reconstruction.view(shape).amax(dim=1).cpu().numpy(),
            firing_count=firing_count,
            squared_error=float(((tokens_td.double() - reconstruction) ** 2).sum()),
            moran_sum=moran_sum,
            moran_images=moran_images,
        )

    def _reduce(self, codes_npf):
        """(codes_max [n, F], firing_count [F], moran_sum [2, M, F], moran_images [M, F])."""
        active = (codes_npf > 0).sum(dim=1)
        if self._minimum_active:
            moran = dense_moran(codes_npf, self._grid, self._variance_floor)
        else:
            moran = codes_npf.new_zeros((2, *active.shape), dtype=torch.float64)
        moran_sum, moran_images = sum_evaluable(moran, active, self._minimum_active)
        return codes_npf.amax(dim=1), active.sum(dim=0), moran_sum, moran_images
