"""Reductions: what one pass over a cache leaves behind, from which every metric is computed.

The format is described in `docs/formats.md`. A pass hands its results over unit by unit (a
few images at a time, in order); the writers add up sums and write arrays in blocks, so that
memory does not grow with the number of images.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from visae.activations.source import Activations, LabelledImages
from visae.base import hdf5
from visae.base.arrays import Float, Int
from visae.base.declared import Array, check_arrays
from visae.base.errors import UserError
from visae.base.files import atomic_path
from visae.base.reading import guarded
from visae.base.seals import LIBVER, made_of, open_hdf5, seal_hdf5
from visae.base.sparse_hdf5 import SparseDataset, SparseWriter
from visae.encoding.largest import LargestCodes

FORMAT = "visae-reductions-6"
SIGNED = "signed"
WARNINGS = "warnings"
"""Attribute of reductions of an SAE whose codes may be negative: they hold magnitudes."""
BLOCK_IMAGES = 1024
"""Images per write: 2 kB of memory per feature of every SAE in the pass."""
ROWS = 64
"""Images per HDF5 chunk of arrays of rows: 192 kB at a width of 768."""
CHUNK_FEATURES = 16
"""Features per group of `codes_max`: a chunk of its bits is 2 kB, and reading one feature's row
reads 15 neighbours along with it."""


@dataclass
class SaeUnit:
    """What one SAE leaves of a unit of n images."""

    codes_max: Float[np.ndarray, "n F"]
    """float32, max over patches."""
    codes_half: Float[np.ndarray, "n F"]
    """The same in float16, as `half_codes` rounds it: by whoever computes the unit, in its time."""
    reconstructions_max: Float[np.ndarray, "n D"]
    """float32, max over patches, normalised units."""
    firing_count: Int[np.ndarray, " F"]
    """int64, tokens on which the feature is active."""
    squared_error: float
    """Σ over tokens of ‖x − x̂‖², normalised units."""
    residual_sum: float
    """Σ over tokens and dimensions of x − x̂, normalised units."""
    moran_sum: Float[np.ndarray, "2 M F"]
    """float64, Σ of Moran's I over evaluable images (queen, rook)."""
    moran_images: Int[np.ndarray, "M F"]
    """int64, evaluable images."""


@dataclass
class RawUnit:
    """What the backbone's own activations leave of a unit of n images."""

    features_max: Float[np.ndarray, "n D"]
    """float32, max over patches, normalised units."""
    embeddings: Float[np.ndarray, "n D"]
    """float32, mean over patches, activation units."""
    tokens: int
    """n·P."""
    token_mean: Float[np.ndarray, " D"]
    """float64, normalised units."""
    total_squares: float
    """Σ over tokens of ‖x − token_mean‖², normalised units."""
    moran_sum: Float[np.ndarray, "2 M D"]
    """float64."""
    moran_images: Int[np.ndarray, "M D"]
    """int64."""


@contextlib.contextmanager
def write_sae_reductions(
    path: str | Path,
    source: Activations,
    features: int,
    minimum_active: Sequence[int],
    variance_floor: float,
    attributes: Mapping[str, Any],
    inputs: Iterable[str | Path] = (),
) -> Iterator[_SaeWriter]:
    """A writer with `add(SaeUnit)`; the file appears when the block ends well.

    source: the `Activations` that are encoded. features: F. attributes: further root
    attributes (`sae`, `sae_fingerprint`, provenance). inputs: the files that it is made of, besides
    those of `source`.
    """
    with _create(path, source, minimum_active, variance_floor, attributes, inputs) as file:
        writer = _SaeWriter(file, source, features, len(minimum_active))
        yield writer
        writer.finish()


@contextlib.contextmanager
def write_raw_reductions(
    path: str | Path,
    source: Activations,
    minimum_active: Sequence[int],
    variance_floor: float,
    attributes: Mapping[str, Any],
    inputs: Iterable[str | Path] = (),
) -> Iterator[_RawWriter]:
    """A writer with `add(RawUnit)`; the file appears when the block ends well."""
    with _create(path, source, minimum_active, variance_floor, attributes, inputs) as file:
        writer = _RawWriter(file, source, len(minimum_active))
        yield writer
        writer.finish()


@contextlib.contextmanager
def _create(path, source, minimum_active, variance_floor, attributes, inputs):
    if not source.images:
        raise UserError(
            f"{source.path} holds no images: check the data set {source.info.dataset} and "
            "its skipped images, then extract it again"
        )
    origin = made_of(path, (*source.files, *inputs))
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=LIBVER) as file:
        file.attrs["grid"] = np.array(source.info.grid)
        file.attrs["tokens"] = source.tokens
        file.attrs["minimum_active"] = np.array(minimum_active, np.int64)
        file.attrs["variance_floor"] = variance_floor
        hdf5.write_attributes(file, attributes)
        file["labels"] = source.labels
        hdf5.write_strings(file, "image_ids", source.image_ids)
        yield file
        # Last, because a stream knows its content only when all of it has been read.
        hdf5.write_attributes(file, {"cache_fingerprint": source.fingerprint})
        seal_hdf5(file, path, FORMAT, origin)


def _checked(file, name, shape, kind, chunks=None):
    """A large data set, each of whose chunks is checked when it is read; by default of rows."""
    return hdf5.Checked(
        file, name, shape, kind, chunks or (min(ROWS, BLOCK_IMAGES, shape[0]), shape[1])
    )


class _BlockWriter:
    """Collect columns or rows of single images and write them `BLOCK_IMAGES` at a time."""

    def __init__(self, checked, image_axis):
        self._checked, self._axis = checked, image_axis
        shape = list(checked.shape)
        self._images = shape[image_axis]
        shape[image_axis] = min(BLOCK_IMAGES, self._images)
        self._buffer = np.empty(shape, checked.dtype)
        self._view = np.moveaxis(self._buffer, image_axis, 0)
        self._filled = self._written = 0

    def add(self, rows):
        """Add the rows [n, ...] of the next n images."""
        start = 0
        while start < len(rows):
            take = min(len(rows) - start, len(self._view) - self._filled)
            self._view[self._filled : self._filled + take] = rows[start : start + take]
            self._filled += take
            start += take
            if self._filled == len(self._view):
                self._flush()

    def _flush(self):
        start = [0] * self._buffer.ndim
        start[self._axis] = self._written
        images = (slice(None),) * self._axis
        self._checked.write(start, self._buffer[(*images, slice(0, self._filled))])
        self._written, self._filled = self._written + self._filled, 0

    def finish(self):
        """Write what is left."""
        if (added := self._written + self._filled) != self._images:
            raise RuntimeError(f"{added} images written of {self._images}")
        if self._filled:
            self._flush()
        self._checked.finish()


class _SaeWriter:
    def __init__(self, file, source, features, minima):
        images, self._file = source.images, file
        chunks = (min(CHUNK_FEATURES, features), min(BLOCK_IMAGES, images))
        self._codes = _BlockWriter(
            SparseWriter(file, "codes_max", (features, images), np.float16, chunks), 1
        )
        self._reconstructions = _BlockWriter(
            _checked(file, "reconstructions_max", (images, source.info.width), np.float32), 0
        )
        self._totals = {
            "firing_count": np.zeros(features, np.int64),
            "squared_error": np.zeros(()),
            "residual_sum": np.zeros(()),
            "moran_sum": np.zeros((2, minima, features)),
            "moran_images": np.zeros((minima, features), np.int64),
        }
        self._largest, self._images = LargestCodes.of_none(features, images), 0

    def add(self, unit: SaeUnit) -> None:
        """Add the next images' `SaeUnit`."""
        self._codes.add(unit.codes_half)
        self._largest.add(unit.codes_max, self._images)
        self._images += len(unit.codes_max)
        self._reconstructions.add(unit.reconstructions_max)
        for name, total in self._totals.items():
            total += getattr(unit, name)

    def finish(self):
        self._codes.finish()
        self._reconstructions.finish()
        self._file["top_codes"] = self._largest.codes
        self._file["top_images"] = self._largest.images
        self._file["codes_least"] = self._largest.least
        for name, total in self._totals.items():
            self._file[name] = total
        self._file.attrs["l0_sum"] = self._totals["firing_count"].sum()


class _RawWriter:
    def __init__(self, file, source, minima):
        self._file, width = file, source.info.width
        self._rows = {
            name: _BlockWriter(_checked(file, name, (source.images, width), np.float32), 0)
            for name in ("features_max", "embeddings")
        }
        self._tokens, self._mean, self._squares = 0, np.zeros(width), 0.0
        self._moran_sum = np.zeros((2, minima, width))
        self._moran_images = np.zeros((minima, width), np.int64)

    def add(self, unit: RawUnit) -> None:
        """Add the next images' `RawUnit`."""
        for name, rows in self._rows.items():
            rows.add(getattr(unit, name))
        total = self._tokens + unit.tokens
        delta = unit.token_mean - self._mean
        self._squares += unit.total_squares + (delta**2).sum() * self._tokens * unit.tokens / total
        self._mean += delta * (unit.tokens / total)
        self._tokens = total
        self._moran_sum += unit.moran_sum
        self._moran_images += unit.moran_images

    def finish(self):
        for rows in self._rows.values():
            rows.finish()
        self._file["token_mean"] = self._mean
        self._file["total_squares"] = self._squares
        self._file["moran_sum"] = self._moran_sum
        self._file["moran_images"] = self._moran_images


def half_codes(codes: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Non-negative codes as float16: a positive one stays positive, and none becomes infinite."""
    half = np.minimum(codes, np.finfo(np.float16).max).astype(np.float16)
    half[(half == 0) & (codes > 0)] = np.finfo(np.float16).smallest_subnormal
    return half


SHARED_ARRAYS = {
    "labels": Array("int64", "N", least=-1),
    "moran_sum": Array("float64", "2 M W"),
    "moran_images": Array("int64", "M W", least=0),
}
SAE_ARRAYS = {
    "codes_max": Array("float16", "W N", least=0, apart=True, sparse=True),
    "reconstructions_max": Array("float32", "N D", apart=True),
    "firing_count": Array("int64", "W", least=0),
    "top_codes": Array("float32", "W T", least=0),
    "top_images": Array("int64", "W T", least=0, below="N"),
    "codes_least": Array("float32", "W"),
    "squared_error": Array("float64", ""),
    "residual_sum": Array("float64", ""),
    **SHARED_ARRAYS,
}
RAW_ARRAYS = {
    "features_max": Array("float32", "N W", apart=True),
    "embeddings": Array("float32", "N W", apart=True),
    "token_mean": Array("float64", "W"),
    "total_squares": Array("float64", ""),
    **SHARED_ARRAYS,
}
"""Arrays of reductions. W: the features of the SAE, or the channels of the backbone."""


def _opened(file, name, array):
    """All values of an array of `file`, or what gives those that are asked for."""
    if array.sparse:
        return SparseDataset(file, name, array)
    return hdf5.dataset(file, name, array) if array.apart else hdf5.array(file, name)


class _Reductions(LabelledImages):
    """An open reductions file; UserError when it is missing, damaged or of another kind."""

    def __init__(self, path, declared):
        self.path = Path(path)
        self._file = open_hdf5(self.path, FORMAT)
        try:
            with guarded(self.path, "reductions of these features"):
                attributes = hdf5.attributes(self._file)
                self.image_ids = hdf5.strings(self._file, "image_ids")
                self.minimum_active = attributes["minimum_active"].tolist()
                there = set(self._file)
                arrays: dict[str, Any] = {
                    name: _opened(self._file, name, array)
                    for name, array in declared.items()
                    if name in there
                }
                sizes = {"N": len(self.image_ids), "M": len(self.minimum_active)}
                check_arrays(declared, arrays, **sizes)
                self._parts = {
                    name: arrays[name] for name, array in declared.items() if array.apart
                }
                self._read(attributes, arrays)
        except BaseException:
            self._file.close()
            raise

    def _read(self, attributes, arrays):
        """Take over what the file says."""
        height, width = attributes["grid"]
        self.grid = int(height), int(width)
        self.tokens = int(attributes["tokens"])
        self.variance_floor = float(attributes["variance_floor"])
        self.cache_fingerprint = hdf5.text(attributes["cache_fingerprint"])
        self.labels = arrays["labels"]
        self.moran_sum = arrays["moran_sum"]
        self.moran_images = arrays["moran_images"]

    def close(self) -> None:
        self._file.close()


class SaeReductions(_Reductions):
    """Read the reductions of an SAE.

    Attributes: `sae`, `sae_fingerprint`, `cache_fingerprint`, `features` (F), `images` (N),
    `grid`, `tokens`, `minimum_active`, `variance_floor`, `l0_sum`, `labels` int64 [N],
    `image_ids`, `firing_count` int64 [F], `largest` (`LargestCodes`), `squared_error`,
    `residual_sum`, `moran_sum` float64 [2, M, F], `moran_images` int64 [M, F], `signed` (codes may
    be negative, and their magnitudes are what is here), `warnings` (what speaks against the SAE).
    """

    def __init__(self, path: str | Path):
        super().__init__(path, SAE_ARRAYS)

    def _read(self, attributes, arrays):
        super()._read(attributes, arrays)
        self.sae = hdf5.text(attributes["sae"])
        self.sae_fingerprint = hdf5.text(attributes["sae_fingerprint"])
        self.signed = bool(attributes.get(SIGNED, False))
        self.warnings = (
            json.loads(hdf5.text(attributes[WARNINGS])) if WARNINGS in attributes else []
        )
        self.l0_sum = int(attributes["l0_sum"])
        self.features = arrays["codes_max"].shape[0]
        self.firing_count = arrays["firing_count"]
        self.largest = LargestCodes(
            arrays["top_codes"], arrays["top_images"], arrays["codes_least"]
        )
        self.squared_error = float(arrays["squared_error"])
        self.residual_sum = float(arrays["residual_sum"])

    @property
    def codes(self) -> SparseDataset:
        """Max-pooled codes [F, N], float16, of the open file: what is selected is read, dense."""
        return self._parts["codes_max"]

    def reconstructions_max(self) -> Float[np.ndarray, "N D"]:
        """Max-pooled reconstructions float32 [N, D], normalised units."""
        return hdf5.part(self._parts["reconstructions_max"], np.s_[:])


class RawReductions(_Reductions):
    """Read the reductions of the backbone's own activations.

    Attributes: `cache_fingerprint`, `images` (N), `grid`, `tokens`, `minimum_active`,
    `variance_floor`, `labels` int64 [N], `image_ids`, `token_mean` float64 [D] and
    `total_squares` (normalised units), `moran_sum` float64 [2, M, D], `moran_images` int64
    [M, D].
    """

    def __init__(self, path: str | Path):
        super().__init__(path, RAW_ARRAYS)

    def _read(self, attributes, arrays):
        super()._read(attributes, arrays)
        self.token_mean = arrays["token_mean"]
        self.total_squares = float(arrays["total_squares"])

    def features_max(self) -> Float[np.ndarray, "N D"]:
        """Max-pooled activations float32 [N, D], normalised units."""
        return hdf5.part(self._parts["features_max"], np.s_[:])

    def embeddings(self) -> Float[np.ndarray, "N D"]:
        """Mean-pooled activations float32 [N, D], activation units."""
        return hdf5.part(self._parts["embeddings"], np.s_[:])
