"""What a file of activations holds: its attributes, its bytes and its checksums.

The format is described in `docs/formats.md`. Chunks of whole images are the unit of
everything: of storage, of the checksum, of the statistics (so that sharding changes no
bit of them) and of reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from visae.backbones.storage import DEFAULT, STORAGES, too_large
from visae.base import fingerprints, hdf5
from visae.base.arrays import Float, Int, Num, Shaped, UInt
from visae.base.checksums import checksum
from visae.base.declared import all_finite
from visae.base.errors import UserError
from visae.base.seals import open_hdf5, plain_hdf5

FORMAT = "visae-activations-2"
APART = ("activations",)
"""What the seal does not cover: chunks have checksums, which it covers."""


@dataclass(frozen=True)
class CacheInfo:
    """What the activations are: equal for all shards of a cache."""

    backbone: str
    model: str
    weights_fingerprint: str
    layer: int
    dataset: str
    split: str
    grid: tuple[int, int]
    width: int
    token_order: str
    preprocessing: dict
    index_fingerprint: str
    chunk_images: int = 64
    weights_reading: str = ""
    storage: str = DEFAULT

    @property
    def stored_dtype(self) -> np.dtype:
        """What lies in the file: bits as uint16 for bfloat16, which neither HDF5 nor NumPy has."""
        return np.dtype(np.uint16 if self.storage == "bfloat16" else self.storage)

    @property
    def dtype(self) -> np.dtype:
        """What is read: float16, or float32 with the values of bfloat16 or of float32."""
        return np.dtype(np.float16 if self.storage == "float16" else np.float32)

    @property
    def patches(self) -> int:
        """P, the number of patch tokens per image."""
        return self.grid[0] * self.grid[1]

    def attributes(self) -> dict[str, Any]:
        """The HDF5 root attributes."""
        return {
            "backbone": self.backbone,
            "model": self.model,
            "weights_fingerprint": self.weights_fingerprint,
            "layer": self.layer,
            "dataset": self.dataset,
            "split": self.split,
            "grid": np.array(self.grid),
            "width": self.width,
            "token_order": self.token_order,
            "preprocessing": json.dumps(self.preprocessing, sort_keys=True),
            "index_fingerprint": self.index_fingerprint,
            "chunk_images": self.chunk_images,
            "weights_reading": self.weights_reading,
            "storage": self.storage,
        }

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> CacheInfo:
        """Read the attributes of a file of `FORMAT`."""
        height, width = attributes["grid"]
        return cls(
            **{name: hdf5.text(attributes[name]) for name in _STRINGS},
            layer=int(attributes["layer"]),
            grid=(int(height), int(width)),
            width=int(attributes["width"]),
            preprocessing=json.loads(attributes["preprocessing"]),
            chunk_images=int(attributes["chunk_images"]),
            storage=_known(hdf5.text(attributes["storage"])),
        )


_STRINGS = (
    *("backbone", "model", "weights_fingerprint", "dataset", "split", "token_order"),
    *("index_fingerprint", "weights_reading"),
)


def _known(storage):
    if storage not in STORAGES:
        raise UserError(
            f"activations are stored in {storage!r}, which this version does not read "
            f"({', '.join(STORAGES)}): extract them again, or read them with the version that "
            "wrote them"
        )
    return storage


ACTIVATIONS = (
    *("backbone", "model", "weights_fingerprint", "layer"),
    *("grid", "width", "token_order", "preprocessing"),
)
"""The attributes that say of which network and block activations are, and how it saw the images."""


def check_same_activations(info: CacheInfo, other: CacheInfo) -> None:
    """UserError unless two caches hold activations of one block of one network, read in one way."""
    for name in ACTIVATIONS:
        if (one := getattr(info, name)) != (two := getattr(other, name)):
            raise UserError(
                f"the cache of {info.dataset}/{info.split} holds activations with {name} {one!r}, "
                f"that of {other.dataset}/{other.split} with {name} {two!r}, so one cannot be used "
                "with the other: extract again the one that is out of date"
            )


def check_compatible(info: CacheInfo, backbone: str, layer: int) -> None:
    """UserError unless the cache holds activations of this backbone's layer."""
    if (info.backbone, info.layer) != (backbone, layer):
        raise UserError(
            f"the cache of {info.dataset}/{info.split} holds activations of {info.backbone} at "
            f"layer {info.layer}, but those of {backbone} at layer {layer} are needed: restore "
            "that cache, or extract it again"
        )


def open_file(path: str | Path) -> h5py.File:
    """The HDF5 file at `path`, to be read in parts that are checked; UserError if it is none."""
    return plain_hdf5(path)


def open_sealed(path: str | Path) -> h5py.File:
    """The shard or the joined cache at `path`, held against its seal (`open_hdf5`)."""
    return open_hdf5(path, FORMAT, APART)


def chunk_bounds(image_counts: Sequence[int], chunk_images: int) -> list[tuple[int, int]]:
    """(start, stop) of every chunk of a cache whose shards hold `image_counts` images."""
    bounds, offset = [], 0
    for images in image_counts:
        edges = range(offset, offset + images, chunk_images)
        bounds += [(edge, min(edge + chunk_images, offset + images)) for edge in edges]
        offset += images
    return bounds


def as_stored(
    activations_npd: Num[np.ndarray, "n P D"], info: CacheInfo, image_ids: Sequence[str]
) -> Shaped[np.ndarray, "n P D"]:
    """Activations [n, P, D] as they lie in a file, in `info.stored_dtype`.

    What is float16, or float32, already is returned as it is, not copied. Raises UserError, which
    names the first value that the storage has no finite number for.
    """
    given_npd = np.asarray(activations_npd)
    rounded = np.float32 if info.storage == "bfloat16" else info.stored_dtype
    with np.errstate(over="ignore"):
        stored_npd = given_npd.astype(rounded, copy=False)
        if info.storage == "bfloat16":
            stored_npd = _bfloat16_bits(stored_npd)
    if not all_finite(stored_npd):
        raise _not_storable(given_npd, as_read(stored_npd, info), info, image_ids)
    return stored_npd


def _bfloat16_bits(values_npd):
    """The upper halves of float32 numbers, rounded to the nearest, of two as near to the even."""
    bits = values_npd.view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    # NaN is kept: its rounding could carry into the sign.
    return np.where(np.isnan(values_npd), 0x7FC0, rounded).astype(np.uint16)


def as_read(
    stored_npd: Shaped[np.ndarray, "*n D"],
    info: CacheInfo,
    out: Float[np.ndarray, "*n D"] | None = None,
) -> Float[np.ndarray, "*n D"]:
    """What lies in a file as numbers of `info.dtype`, written to `out` if it is given."""
    if info.storage == "bfloat16":
        numbers = np.empty(stored_npd.shape, np.float32) if out is None else out
        np.left_shift(stored_npd, 16, out=numbers.view(np.uint32), dtype=np.uint32)
        return numbers
    if out is None or out is stored_npd:
        return stored_npd
    out[...] = stored_npd
    return out


def _not_storable(given_npd, read_npd, info, image_ids):
    """A sentence about the first image that has no place in a cache: which channel, which value."""
    image = int(np.argmin(np.isfinite(read_npd).all(axis=(1, 2))))
    where = f"at block {info.layer} for image {image_ids[image]!r} of {info.dataset}/{info.split}"
    values_pd = given_npd[image].astype(np.float64)
    if not np.isfinite(values_pd).all():
        channel = int(np.argmin(np.isfinite(values_pd).all(axis=0)))
        return UserError(
            f"backbone {info.backbone} gives NaN or infinity in channel {channel} {where}: check "
            "the weights and the image, or, where `extraction.precision` is float16, set it to "
            "float32"
        )
    patch, channel = np.unravel_index(np.abs(values_pd).argmax(), values_pd.shape)
    over = int((~np.isfinite(read_npd[image])).any(axis=0).sum())
    value = float(values_pd[patch, channel])
    return UserError(
        too_large(info.backbone, info.storage, value, int(channel), where, over, info.width)
    )


def check_chunk(
    chunk_npd: Shaped[np.ndarray, "n P D"],
    expected: int | np.integer,
    path: str | Path,
    number: int | np.integer,
) -> None:
    """UserError unless a chunk, number `number` of its cache, has the checksum `expected`.

    path: of the shard that holds it. Also where it holds, as stored, NaN or infinity.
    """
    if checksum(chunk_npd) != expected:
        raise UserError(
            f"chunk {number} of {path} does not match its CRC-32, so its bytes have changed since "
            "they were written: remove it and run the workflow again"
        )
    if not all_finite(chunk_npd):
        raise UserError(
            f"chunk {number} of {path} holds NaN or infinity, which no activations are stored "
            "with: remove it and run the workflow again"
        )


def content_fingerprint(
    info: CacheInfo,
    crc: UInt[np.ndarray, " chunks"] | list[int],
    labels: Int[np.ndarray, " N"],
    image_ids: Sequence[str],
) -> str:
    """Hash of a cache's attributes, identities and checksums (uint32, one per chunk)."""
    # The weights have a fingerprint of their own, under whatever names they were found.
    attributes = {k: str(v) for k, v in vars(info).items() if k != "weights_reading"}
    return fingerprints.of_bytes(
        json.dumps(attributes, sort_keys=True).encode(),
        np.asarray(crc, np.uint32).tobytes(),
        np.asarray(labels, np.int64).tobytes(),
        "\n".join(image_ids).encode(),
    )
