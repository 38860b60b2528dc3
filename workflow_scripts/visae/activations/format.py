"""What a file of activations holds: its attributes, its bytes and its checksums.

The format is described in `docs/formats.md`. Chunks of whole images are the unit of
everything: of storage, of the checksum, of the statistics (so that sharding changes no
bit of them) and of reading.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from visae.base import fingerprints
from visae.base.arrays import Float, Int, Num, Shaped, UInt
from visae.base.errors import UserError
from visae.base.reading import unreadable

FORMAT = "visae-activations-1"


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

    @property
    def patches(self) -> int:
        """P, the number of patch tokens per image."""
        return self.grid[0] * self.grid[1]

    def attributes(self) -> dict[str, Any]:
        """The HDF5 root attributes."""
        return {
            "format": FORMAT,
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
        }

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any], path: str | Path) -> CacheInfo:
        """Read the attributes of the file at `path`; UserError when it is not such a file."""
        if attributes.get("format") != FORMAT:
            raise UserError(
                f"{path} is not an activation cache of format {FORMAT} (its format attribute is "
                f"{attributes.get('format')!r}): remove it and extract the activations again"
            )
        height, width = attributes["grid"]
        return cls(
            backbone=str(attributes["backbone"]),
            model=str(attributes["model"]),
            weights_fingerprint=str(attributes["weights_fingerprint"]),
            layer=int(attributes["layer"]),
            dataset=str(attributes["dataset"]),
            split=str(attributes["split"]),
            grid=(int(height), int(width)),
            width=int(attributes["width"]),
            token_order=str(attributes["token_order"]),
            preprocessing=json.loads(attributes["preprocessing"]),
            index_fingerprint=str(attributes["index_fingerprint"]),
            chunk_images=int(attributes["chunk_images"]),
            weights_reading=str(attributes.get("weights_reading", "")),
        )


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
    """The HDF5 file at `path`, to be read; UserError if it is missing or damaged."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        cure = "remove it and run the workflow again to extract it anew"
        raise unreadable(path, error, "HDF5", cure) from error


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
) -> Float[np.ndarray, "n P D"]:
    """Activations [n, P, D] as float16; UserError names the first value that is none in float16.

    What is float16 already is returned as it is, not copied.
    """
    given_npd = np.asarray(activations_npd)
    with np.errstate(over="ignore"):
        stored_npd = given_npd.astype(np.float16, copy=False)
    if not _all_finite(stored_npd):
        raise _not_storable(given_npd, stored_npd, info, image_ids)
    return stored_npd


def _not_storable(given_npd, stored_npd, info, image_ids):
    """A sentence about the first image that has no place in a cache: which channel, which value."""
    image = int(np.argmin(np.isfinite(stored_npd).all(axis=(1, 2))))
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
    over = int((~np.isfinite(stored_npd[image])).any(axis=0).sum())
    return UserError(
        f"backbone {info.backbone} gives {values_pd[patch, channel]:,.0f} in channel {channel} "
        f"{where} ({over} of {info.width} channels are too large there), and a cache stores "
        f"float16, up to {np.finfo(np.float16).max:,.0f}: set `backbones.{info.backbone}.layer` to "
        "a block without such values, often an earlier one"
    )


def _all_finite(values):
    """Whether all float16 values are finite: 10 times as fast as `numpy.isfinite`."""
    # float16 bits from 0x7C00 on are ±inf or NaN: read as int16 this finds the positive ones, as
    # uint16 (from 0xFC00 on) the negative ones.
    signed, unsigned = values.view(np.int16), values.view(np.uint16)
    return signed.max(initial=0) < 0x7C00 and unsigned.max(initial=0) < 0xFC00


def checksum(chunk_npd: Shaped[np.ndarray, "n P D"]) -> int:
    """CRC-32 of the bytes of a chunk."""
    return zlib.crc32(np.ascontiguousarray(chunk_npd).data)


def check_chunk(
    chunk_npd: Float[np.ndarray, "n P D"],
    expected: int | np.integer,
    path: str | Path,
    number: int | np.integer,
) -> None:
    """UserError unless a chunk, number `number` of its cache, has the checksum `expected`.

    path: of the shard that holds it.
    """
    if checksum(chunk_npd) != expected:
        raise UserError(
            f"chunk {number} of {path} does not match its CRC-32, so its bytes have changed since "
            "they were written: remove it and run the workflow again"
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
