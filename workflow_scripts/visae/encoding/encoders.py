"""One SAE applied to one unit of images: all that the metrics need, in one go.

Two encoders give the same numbers up to rounding. On the CPU the encoder product is the one
dense step, of large encoders in bytes (`visae.sae.screen`): each block of features is thresholded
while it is in the cache, and firing counts, maxima, Moran's I and the reconstruction visit only the
active codes. On CUDA pooling and Moran's I are dense; large encoders are multiplied in float16, and
only what can be kept in float32.

Codes that may be negative are reduced by their magnitude; the reconstruction has their sign.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch

from visae.base.arrays import Float
from visae.encoding.dense_moran import dense_moran, sum_evaluable
from visae.encoding.kernels import (
    ActiveCodes,
    decode,
    decoded,
    reduce_maps,
    sliced,
    take_found,
    take_products,
)
from visae.encoding.moran import Neighbours
from visae.encoding.reductions import SaeUnit, half_codes
from visae.sae.model import SparseAutoencoder
from visae.sae.screen import Arithmetic, Features, Tokens, is_faster
from visae.sae.screen_bytes import BYTES, Screen
from visae.sae.screen_halves import HALVES, HalfScreen, split_tokens, sums_hold
from visae.sae.screened import is_screened


class Targets(NamedTuple):
    """What reconstructions of an SAE with per-token normalisation are compared with.

    The SAE's units differ from token to token; those of results are the same for all.
    """

    activations: Float[torch.Tensor, "n P D"]
    """The activations of the tokens, in the units of results."""
    restored: Callable[[torch.Tensor], torch.Tensor]
    """From the SAE's reconstructions x̂ [n, P, D] to the units of results."""

    def compared(
        self, reconstruction_npd: Float[torch.Tensor, "n P D"]
    ) -> tuple[float, float, Float[np.ndarray, "n D"]]:
        """(Σ‖a − â‖², Σ(a − â), the maxima of â over patches [n, D] as an array)."""
        restored = self.restored(reconstruction_npd)
        return *_errors(self.activations, restored), restored.amax(dim=1).cpu().numpy()


def encoder_side(arithmetic: Arithmetic, sae: SparseAutoencoder) -> Features:
    """The features of an SAE as a side of the screened product."""
    threshold = sae.threshold.expand(sae.features).contiguous()
    return Features(arithmetic, sae.encoder_weight, sae.encoder_bias, threshold)


class SparseEncoder:
    """For the CPU. An instance may be called from several threads.

    sae: a `SparseAutoencoder`. grid: (H, W). minimum_active: minimum numbers of active patches
    for Moran's I (none: it is not computed). variance_floor: see `visae.encoding.moran`.

    Each thread keeps 8·n·P·F bytes for the case that every code is active, of which the operating
    system provides only the pages that are used.
    """

    unit_images = 4
    """The product over 4 images is as fast as a large one, and its block of 256 features fits
    into 1 MB of cache."""
    feature_block = 256
    screened_block = 1024
    """Larger: its product is looked at once, and each block costs some calls."""

    def __init__(
        self,
        sae: SparseAutoencoder,
        grid: tuple[int, int],
        minimum_active: Sequence[int],
        variance_floor: float,
    ):
        self._sae = sae
        self._weight, self._bias = sae.encoder_weight, sae.encoder_bias.numpy()
        self._threshold = sae.threshold.expand(sae.features).contiguous().numpy()
        if sae.activation != "threshold":  # the kernel is given codes, and adds and cuts nothing
            self._bias = self._threshold = np.zeros(sae.features, np.float32)
        self._screened = None
        if sae.activation == "threshold" and is_screened(*self._weight.shape):
            self._screened = encoder_side(BYTES, sae)
        self._decoder = sliced(sae.decoder_weight.numpy())
        self._neighbours = Neighbours.of_grid(grid)
        self._minimum_active = np.array(minimum_active, np.int64)
        self._variance_floor = variance_floor

    def __call__(
        self, x_npd: Float[torch.Tensor, "n P D"], targets: Targets | None = None
    ) -> SaeUnit:
        """The `SaeUnit` of normalised activations: a float32 tensor [n, P, D].

        targets: the `Targets` of these tokens, for an SAE with per-token normalisation.
        """
        images, patches, width = x_npd.shape
        features = len(self._weight)
        codes = ActiveCodes(images, patches, features)
        codes_max = np.empty((images, features), np.float32)
        unit = SaeUnit(
            codes_max=codes_max,
            codes_half=np.empty((images, features), np.float16),
            reconstructions_max=np.empty((images, width), np.float32),
            firing_count=np.zeros(features, np.int64),
            squared_error=0.0,
            residual_sum=0.0,
            moran_sum=np.zeros((2, len(self._minimum_active), features)),
            moran_images=np.zeros((len(self._minimum_active), features), np.int64),
        )
        signed_fnp = self._take(x_npd, codes)
        reduce_maps(
            codes.patch,
            codes.value,
            codes.end,
            codes_max,
            unit.firing_count,
            self._minimum_active,
            unit.moran_sum,
            unit.moran_images,
            self._neighbours.padded_map(),
            self._neighbours,
            self._variance_floor,
        )
        if signed_fnp is not None:
            _restore_signs(codes, signed_fnp)
        if targets is None:
            unit.squared_error, unit.residual_sum = decode(
                x_npd.numpy(),
                self._decoder,
                codes.patch,
                codes.value,
                codes.end,
                decoded(images, patches, len(self._decoder)),
                unit.reconstructions_max,
            )
        else:
            reconstruction = self._decoded(codes, patches)
            unit.squared_error, unit.residual_sum, unit.reconstructions_max = targets.compared(
                reconstruction
            )
        unit.codes_half = half_codes(codes_max)
        return unit

    def _take(self, x_npd, codes):
        """Fill `ActiveCodes` with magnitudes; the codes [F, n, P] where some may be negative."""
        if self._screened is not None:
            self._take_screened(self._screened, x_npd, codes)
        elif self._sae.activation == "threshold":
            self._take_products(x_npd, codes)
        else:
            selected_fnp, signed = self._selected(x_npd), self._sae.signed
            self._take_block(np.abs(selected_fnp) if signed else selected_fnp, 0, codes)
            return selected_fnp if signed else None
        return None

    def _take_screened(self, features, x_npd, codes):
        """Of a large encoder only the codes that are kept."""
        screen = Screen(Tokens(BYTES, x_npd.flatten(0, 1)), self.screened_block)
        for block in self._blocks(self.screened_block):
            found = screen.find(features, block)
            take_found(*found, x_npd.shape[1], block.start, codes.patch, codes.value, codes.end)

    def _take_products(self, x_npd, codes):
        """The float32 product, block by block while it is in the cache."""
        images, patches, _ = x_npd.shape
        tokens_dt = x_npd.flatten(0, 1).T
        product = torch.empty(min(self.feature_block, len(self._weight)), images * patches)
        for block in self._blocks(self.feature_block):
            weight = self._weight[block]
            part = product[: len(weight)]
            torch.mm(weight, tokens_dt, out=part)
            self._take_block(part.numpy().reshape(-1, images, patches), block.start, codes)

    def _take_block(self, product_bnp, first, codes):
        cuts = self._bias, self._threshold
        take_products(product_bnp, first, *cuts, codes.patch, codes.value, codes.end)

    def _selected(self, x_npd):
        """Codes [F, n, P] of an SAE whose features compete with each other."""
        pre_tf = torch.addmm(self._sae.encoder_bias, x_npd.flatten(0, 1), self._weight.T)
        return self._sae.activate(pre_tf).T.contiguous().unflatten(1, x_npd.shape[:2]).numpy()

    def _blocks(self, size):
        return (slice(first, first + size) for first in range(0, len(self._weight), size))

    def _decoded(self, codes, patches):
        """Normalised reconstructions [n, P, D] of `ActiveCodes`."""
        decoder_fd = self._sae.decoder_weight.numpy()
        images = []
        for patch, value, end in zip(codes.patch, codes.value, codes.end, strict=True):
            shape = patches, len(decoder_fd)
            codes_pf = scipy.sparse.csc_matrix((value[: end[-1]], patch[: end[-1]], end), shape)
            images.append(torch.from_numpy(codes_pf @ decoder_fd))
        return torch.stack(images)


def _restore_signs(codes, signed_fnp):
    """Give `ActiveCodes` of magnitudes the signs of `signed_fnp`."""
    for image, end in enumerate(codes.end):
        features = np.repeat(np.arange(len(end) - 1), np.diff(end))
        active = codes.value[image, : end[-1]]
        active *= np.sign(signed_fnp[features, image, codes.patch[image, : end[-1]]])


class DenseEncoder:
    """For CUDA; float32 products (TF32 would move codes across the threshold), or screened ones.

    Arguments as for `SparseEncoder`; `sae` is on the device to use. screened: whether the product
    is screened; by default where that is faster, of large encoders.
    """

    unit_images = 16
    feature_block = 4096

    def __init__(
        self,
        sae: SparseAutoencoder,
        grid: tuple[int, int],
        minimum_active: Sequence[int],
        variance_floor: float,
        screened: bool | None = None,
    ):
        self._sae, self._grid = sae, grid
        self._minimum_active, self._variance_floor = list(minimum_active), variance_floor
        if screened is None:
            screened = is_screened(*sae.encoder_weight.shape)
            screened = screened and halves_are_faster(sae.encoder_weight.device)
        self._screened = None
        if sae.activation == "threshold" and screened:
            self._screened = encoder_side(HALVES, sae)

    def __call__(
        self, x_npd: Float[torch.Tensor, "n P D"], targets: Targets | None = None
    ) -> SaeUnit:
        """The `SaeUnit` of normalised activations: a float32 tensor [n, P, D] on the device.

        targets: see `SparseEncoder`.
        """
        sae, shape = self._sae, x_npd.shape
        tokens_td = x_npd.flatten(0, 1)
        reconstruction = torch.zeros_like(tokens_td)
        codes_of = self._ways(tokens_td)
        blocks = []
        for start in range(0, sae.features, self.feature_block):
            block = slice(start, start + self.feature_block)
            codes = codes_of(block, reconstruction)
            magnitudes = codes.abs() if sae.signed else codes
            blocks.append(self._reduce(magnitudes.unflatten(0, shape[:2])))
        if targets is None:
            squared_error, residual_sum = _errors(tokens_td, reconstruction)
            reconstructions_max = reconstruction.view(shape).amax(dim=1).cpu().numpy()
        else:
            squared_error, residual_sum, reconstructions_max = targets.compared(
                reconstruction.view(shape)
            )
        codes_max, codes_half, firing_count, moran_sum, moran_images = (
            torch.cat(parts, dim=-1).cpu().numpy() for parts in zip(*blocks, strict=True)
        )
        return SaeUnit(
            codes_max=codes_max,
            codes_half=codes_half,
            reconstructions_max=reconstructions_max,
            firing_count=firing_count,
            squared_error=squared_error,
            residual_sum=residual_sum,
            moran_sum=moran_sum,
            moran_images=moran_images,
        )

    def _ways(self, tokens_td):
        """A function of a block of features: its codes, which it adds to the reconstructions."""
        sae = self._sae
        threshold = sae.threshold.expand(sae.features)

        def whole(block, reconstruction):
            codes = torch.addmm(sae.encoder_bias[block], tokens_td, sae.encoder_weight[block].T)
            codes.relu_().masked_fill_(codes < threshold[block], 0)
            reconstruction.addmm_(codes, sae.decoder_weight[block])
            return codes

        if sae.activation != "threshold":
            selected_tf = sae.encode(tokens_td)

            def selected(block, reconstruction):
                reconstruction.addmm_(selected_tf[:, block], sae.decoder_weight[block])
                return selected_tf[:, block]

            return selected
        if self._screened is None:
            return whole
        features, screen = self._screened, HalfScreen(split_tokens(tokens_td))

        def screened(block, reconstruction):
            found = screen.find(features, block)
            if found is None:
                return whole(block, reconstruction)
            decoder = sae.decoder_weight[block]
            reconstruction += found.decoded(decoder)
            return found.dense(len(decoder))

        return screened

    def _reduce(self, codes_npf):
        """The fields of an `SaeUnit` that are by feature, on the device: F is the last axis."""
        active = (codes_npf > 0).sum(dim=1)
        if self._minimum_active:
            moran = dense_moran(codes_npf, self._grid, self._variance_floor)
        else:
            moran = codes_npf.new_zeros((2, *active.shape), dtype=torch.float64)
        moran_sum, moran_images = sum_evaluable(moran, active, self._minimum_active)
        codes_max = codes_npf.amax(dim=1)
        return codes_max, _half(codes_max), active.sum(dim=0), moran_sum, moran_images


def _errors(compared, reconstruction):
    """(Σ(x − x̂)², Σ(x − x̂)) of two tensors of one shape, in float64."""
    residual = compared.double() - reconstruction
    return float((residual**2).sum()), float(residual.sum())


def _half(codes):
    """What `encoding.reductions.half_codes` does, on the device."""
    limits = torch.finfo(torch.float16)
    half = codes.clamp(max=limits.max).half()
    return half.masked_fill_((half == 0) & (codes > 0), 2.0**-24)


MEASURED = 16, 14, 768, 4096, 64
"""Images, patches a side, D, F and codes a token of what is timed."""
GAIN = 0.8
"""The product is screened where encoding then takes at most this part of the time."""


def halves_are_faster(device: torch.device) -> bool:
    """Whether this GPU's products of float16 are as exact as assumed, and screening by them faster.

    What is timed is all that one way does and the other does not, decoding included.
    """
    return device.type == "cuda" and _measured(device)


@functools.cache
def _measured(device):
    images, side, width, features, k = MEASURED
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.functional.normalize(torch.randn(features, width, generator=generator))
    x_npd = torch.randn(images, side**2, width, generator=generator).to(device)
    threshold = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - k / features))
    zeros = torch.zeros(features)
    statistics = torch.zeros(width), torch.ones(())
    sae = SparseAutoencoder(weight, zeros, weight, threshold, *statistics).to(device)

    # Their results are on the CPU, so that they have waited for them.
    encoders = [DenseEncoder(sae, (side, side), (), 0.0, way) for way in (True, False)]
    screened, whole = (functools.partial(encoder, x_npd) for encoder in encoders)

    def is_right():
        if not sums_hold(device):
            return False
        codes = [encode().codes_max for encode in (screened, whole)]
        # A code within rounding of the threshold may be kept by one of them.
        return np.isclose(*codes, rtol=1e-4).mean() > 1 - 1e-3

    return is_faster("float16", is_right, screened, whole, GAIN)
