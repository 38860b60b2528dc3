"""Activation caches: HDF5 shards of patch activations, joined as one virtual data set.

The format is described in `docs/formats.md`. Chunks of whole images are the unit of
everything: of storage, of the checksum, of the statistics (so that sharding changes no
bit of them) and of reading.
"""

import contextlib
import itertools
import json
import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import numba
import numpy as np

from visae.base import fingerprints
from visae.base.errors import UserError
from visae.base.files import atomic_path, unreadable

FORMAT = "visae-activations-1"
STRING = h5py.string_dtype("utf-8")
SHARD_ARRAYS = ("crc32", "labels", "image_ids", "skipped_ids", "chunk_mean", "chunk_squares")


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

    @property
    def patches(self):
        """P, the number of patch tokens per image."""
        return self.grid[0] * self.grid[1]

    def attributes(self):
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
        }

    @classmethod
    def from_attributes(cls, attributes, path):
        """Read the attributes of the file at `path`; UserError when it is not such a file."""
        if attributes.get("format") != FORMAT:
            raise UserError(
                f"{path} is not an activation cache of format {FORMAT} (its format attribute is "
                f"{attributes.get('format')!r}): remove it and extract the activations again"
            )
        return cls(
            backbone=str(attributes["backbone"]),
            model=str(attributes["model"]),
            weights_fingerprint=str(attributes["weights_fingerprint"]),
            layer=int(attributes["layer"]),
            dataset=str(attributes["dataset"]),
            split=str(attributes["split"]),
            grid=tuple(int(side) for side in attributes["grid"]),
            width=int(attributes["width"]),
            token_order=str(attributes["token_order"]),
            preprocessing=json.loads(attributes["preprocessing"]),
            index_fingerprint=str(attributes["index_fingerprint"]),
            chunk_images=int(attributes["chunk_images"]),
        )


def shard_bounds(images, shards, chunk_images):
    """Split `images` into `shards` runs of whole chunks: a list of (start, stop).

    Raises UserError when there are fewer chunks than shards.
    """
    chunks = -(-images // chunk_images)
    if chunks < shards:
        raise UserError(
            f"{images} images make {chunks} chunks of {chunk_images}, too few for {shards} shards: "
            f"set `shards` of this split to at most {max(chunks, 1)} in the config"
        )
    edges = [min(chunks * shard // shards * chunk_images, images) for shard in range(shards + 1)]
    return list(itertools.pairwise(edges))


def as_stored(activations_npd, info, image_ids):
    """Activations [n, P, D] as float16; UserError names the first image with a value not finite.

    What is float16 already is returned as it is, not copied.
    """
    with np.errstate(over="ignore"):
        activations_npd = np.asarray(activations_npd).astype(np.float16, copy=False)
    if not _all_finite(activations_npd):
        finite = np.isfinite(activations_npd).all(axis=(1, 2))
        raise UserError(
            f"backbone {info.backbone} gives NaN or infinite activations (in float16) at "
            f"layer {info.layer} for image {image_ids[int(np.argmin(finite))]!r} of "
            f"{info.dataset}/{info.split}: check the weights and the image, or, where "
            "`extraction.precision` is float16, set it to float32"
        )
    return activations_npd


def _all_finite(values):
    """Whether all float16 values are finite, told from their bits: 10 times as fast as isfinite."""
    # Behind the sign, infinity and NaN have the largest bits of all, from 0x7C00 on. Read as signed
    # numbers the positive ones are the largest of all, read as unsigned numbers the negative ones.
    signed, unsigned = values.view(np.int16), values.view(np.uint16)
    return signed.max(initial=0) < 0x7C00 and unsigned.max(initial=0) < 0xFC00


@numba.njit(nogil=True, cache=True)
def _moments(bits_td):
    """Mean and Σ(a - mean)² of float16 tokens: float64 [D] each.

    bits_td: uint16 [T, D], the tokens' bits, since numba has no float16. Two passes, so that
    nothing cancels; token after token, so that the sums depend on nothing but the tokens.
    """
    tokens, width = bits_td.shape
    mean, squares = np.zeros(width), np.zeros(width)
    for t in range(tokens):
        for d in range(width):
            mean[d] += _value(bits_td[t, d])
    mean /= tokens
    for t in range(tokens):
        for d in range(width):
            deviation = _value(bits_td[t, d]) - mean[d]
            squares[d] += deviation * deviation
    return mean, squares


@numba.njit
def _value(bits):
    """The finite float16 number with these bits, as float64."""
    # Exponent and fraction where float32 has them; the exponents' biases differ by 112.
    sign = (np.uint32(bits) & np.uint32(0x8000)) * np.uint32(2**16)
    rest = (np.uint32(bits) & np.uint32(0x7FFF)) * np.uint32(2**13)
    return np.float64(np.uint32(sign | rest).view(np.float32) * np.float32(2.0**112))


def content_fingerprint(info, crc, labels, image_ids):
    """Hash of a cache's attributes, identities and checksums (uint32, one per chunk)."""
    return fingerprints.of_bytes(
        json.dumps({k: str(v) for k, v in vars(info).items()}, sort_keys=True).encode(),
        np.asarray(crc, np.uint32).tobytes(),
        np.asarray(labels, np.int64).tobytes(),
        "\n".join(image_ids).encode(),
    )


class ShardWriter:
    """Write one shard; it appears under its name only when the `with` block ends well.

    `append` takes activations float [n, P, D] of any n, with their labels and image ids. Full
    chunks are written by a thread, one at a time, while the next one is filled: two are held in
    memory. What went wrong there is raised by a later `append`, or at the end of the block.
    Raises UserError when an activation is NaN, or infinite (also in float16).
    """

    def __init__(self, path, info, shard, shards, images):
        self.info, self.images = info, images
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(path))
            self._file = stack.enter_context(h5py.File(temporary, "w"))
            self._file.attrs.update({**info.attributes(), "shard": shard, "shards": shards})
            self._thread = stack.enter_context(ThreadPoolExecutor(1))
            self._stack = stack.pop_all()
        shape = (images, info.patches, info.width)
        chunk = (min(info.chunk_images, max(images, 1)), info.patches, info.width)
        self._activations = self._file.create_dataset(
            "activations", shape, np.float16, chunks=chunk, maxshape=(images, *shape[1:])
        )
        # The one that is being filled, and the one that is being written.
        self._buffers = [np.empty((info.chunk_images, *shape[1:]), np.float16) for _ in range(2)]
        self._filled, self._handed_over = 0, 0
        self._writing = Future()  # of the chunk that the thread was given last
        self._writing.set_result(None)
        self._crc, self._means, self._squares = [], [], []
        self._labels, self._ids, self._skipped = [], [], []

    def append(self, activations_npd, labels, image_ids):
        """Add whole images; UserError names the first image whose activations are not finite."""
        if self._writing.done():
            self._writing.result()
        activations_npd = as_stored(activations_npd, self.info, image_ids)
        self._labels.extend(int(label) for label in labels)
        self._ids.extend(image_ids)
        start = 0
        while start < len(activations_npd):
            buffer = self._buffers[0]
            take = min(len(activations_npd) - start, len(buffer) - self._filled)
            buffer[self._filled : self._filled + take] = activations_npd[start : start + take]
            self._filled += take
            start += take
            if self._filled == len(buffer):
                self._flush()

    def skip(self, image_id):
        """Record an image that could not be read."""
        self._skipped.append(image_id)

    def _flush(self):
        """Hand the buffer over to the thread, once that has written the one before."""
        self._writing.result()
        chunk = self._buffers[0][: self._filled]
        self._writing = self._thread.submit(self._write, self._handed_over, chunk)
        self._buffers.reverse()
        self._handed_over += self._filled
        self._filled = 0

    def _write(self, start, chunk):
        self._activations[start : start + len(chunk)] = chunk
        mean, squares = _moments(chunk.view(np.uint16).reshape(-1, self.info.width))
        self._means.append(mean)
        self._squares.append(squares)
        self._crc.append(zlib.crc32(chunk))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            return self._stack.__exit__(kind, error, trace)
        with self._stack:  # closing writes too, and can fail
            self._finish()

    def _finish(self):
        if self._filled:
            self._flush()
        self._writing.result()
        written = self._handed_over
        if written + len(self._skipped) != self.images:
            raise RuntimeError(
                f"{written} images written and {len(self._skipped)} skipped of {self.images}"
            )
        if written < self.images:
            self._activations.resize(written, axis=0)
        width = self.info.width
        self._file["crc32"] = np.array(self._crc, np.uint32)
        self._file["labels"] = np.array(self._labels, np.int64)
        self._file.create_dataset("image_ids", data=np.array(self._ids, object), dtype=STRING)
        self._file.create_dataset("skipped_ids", data=np.array(self._skipped, object), dtype=STRING)
        self._file["chunk_mean"] = np.array(self._means).reshape(-1, width)
        self._file["chunk_squares"] = np.array(self._squares).reshape(-1, width)


def join_shards(shard_paths, path, statistics):
    """Check all shards of a cache and join them as a virtual data set at `path`.

    shard_paths: in order, below the folder of `path`. statistics: also write
    `/statistics/mean` [D] and `/statistics/std`. Raises UserError when a shard is damaged,
    missing, or of another cache.
    """
    path = Path(path)
    shards = [_checked_shard(p, number, len(shard_paths)) for number, p in enumerate(shard_paths)]
    info = shards[0]["info"]
    for shard in shards[1:]:
        _check_same(info, shard["info"], shard["path"])
    images = [shard["images"] for shard in shards]
    misaligned = [s["path"] for s in shards[:-1] if s["images"] % info.chunk_images]
    # Skipped images shorten a shard; chunk boundaries are then kept per shard, see `_chunks`.
    if misaligned and not any(len(s["skipped_ids"]) for s in shards):
        raise UserError(
            f"{misaligned[0]} does not hold whole chunks of {info.chunk_images} images: remove it "
            "and extract it again"
        )
    shape = (sum(images), info.patches, info.width)
    layout = h5py.VirtualLayout(shape, np.float16)
    start = 0
    for shard in shards:
        relative = os.path.relpath(shard["path"], path.parent)
        source = h5py.VirtualSource(relative, "activations", (shard["images"], *shape[1:]))
        layout[start : start + shard["images"]] = source
        start += shard["images"]
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(info.attributes())
        file.attrs["shard_images"] = np.array(images)
        file.attrs.create(
            "shard_files",
            [os.path.relpath(shard["path"], path.parent) for shard in shards],
            dtype=STRING,
        )
        file.create_virtual_dataset("activations", layout)
        for name in ("crc32", "labels", "image_ids", "skipped_ids"):
            joined = np.concatenate([shard[name] for shard in shards])
            file.create_dataset(name, data=joined, dtype=STRING if joined.dtype == object else None)
        if statistics:
            counts = np.concatenate([shard["chunk_tokens"] for shard in shards])
            mean, std = _merge_moments(
                counts,
                np.concatenate([shard["chunk_mean"] for shard in shards]),
                np.concatenate([shard["chunk_squares"] for shard in shards]),
            )
            if not std > 0:
                raise UserError(
                    f"the activations of {info.backbone} at layer {info.layer} on {info.dataset}/"
                    f"{info.split} do not vary: check the backbone's weights and the images"
                )
            file["statistics/mean"] = mean
            file["statistics/std"] = std


def _merge_moments(counts_c, means_cd, squares_cd):
    """Mean [D] and s = sqrt(mean over d of the variance), chunk by chunk in a fixed order."""
    total, mean, squares = 0, np.zeros(means_cd.shape[1]), np.zeros(means_cd.shape[1])
    for count, chunk_mean, chunk_squares in zip(counts_c, means_cd, squares_cd, strict=True):
        delta = chunk_mean - mean
        squares += chunk_squares + delta**2 * (total * count / (total + count))
        mean += delta * (count / (total + count))
        total += count
    return mean, np.sqrt((squares / total).mean())


def _open(path):
    try:
        return h5py.File(path, "r")
    except OSError as error:
        cure = "remove it and run the workflow again to extract it anew"
        raise unreadable(path, error, "HDF5", cure) from error


def _chunks(image_counts, chunk_images):
    """(start, stop) of every chunk of a cache whose shards hold `image_counts` images."""
    bounds, offset = [], 0
    for images in image_counts:
        edges = range(offset, offset + images, chunk_images)
        bounds += [(edge, min(edge + chunk_images, offset + images)) for edge in edges]
        offset += images
    return bounds


def _check_crc(chunk_npd, expected, path, number):
    if zlib.crc32(np.ascontiguousarray(chunk_npd)) != expected:
        raise UserError(
            f"chunk {number} of {path} does not match its CRC-32, so its bytes have changed since "
            "they were written: remove the shard that holds it and run the workflow again"
        )


def _checked_shard(path, number, total):
    path = Path(path)
    with _open(path) as file:
        try:
            info = CacheInfo.from_attributes(file.attrs, path)
            stated = int(file.attrs["shard"]), int(file.attrs["shards"])
            shard = {name: file[name][:] for name in SHARD_ARRAYS}
            activations = file["activations"]
            images = len(activations)
            bounds = _chunks([images], info.chunk_images)
            lengths = {len(shard["labels"]), len(shard["image_ids"]), images}
            if len(lengths) > 1 or len(bounds) != len(shard["crc32"]):
                raise KeyError("lengths differ")
            if activations.shape[1:] != (info.patches, info.width):
                raise KeyError(f"activations have shape {activations.shape}")
            for index, (start, stop) in enumerate(bounds):
                _check_crc(activations[start:stop], shard["crc32"][index], path, index)
        except (KeyError, OSError) as error:
            raise UserError(
                f"{path} is not a whole shard ({error}): remove it and run the workflow again"
            ) from error
    if stated != (number, total):
        raise UserError(
            f"{path} says that it is shard {stated[0]} of {stated[1]}, but shard {number} of "
            f"{total} was expected: remove it and run the workflow again"
        )
    tokens = [(stop - start) * info.patches for start, stop in bounds]
    return shard | {"path": path, "info": info, "images": images, "chunk_tokens": tokens}


def _check_same(info, other, path):
    for name, value in vars(info).items():
        if vars(other)[name] != value:
            raise UserError(
                f"{path} does not belong with the other shards: its {name} is "
                f"{vars(other)[name]!r}, theirs is {value!r}; remove it and run the workflow again"
            )


class ActivationCache:
    """Read a joined cache, chunk by chunk, each checked against its CRC-32.

    Attributes: `info` (CacheInfo), `labels` int64 [N], `image_ids` (list of str), `chunks`
    (list of (start, stop) images), `mean` float64 [D] and `std` (None without statistics),
    `fingerprint` (hash of attributes, identities and checksums: of the whole content).
    Raises UserError when a shard is missing or has been exchanged.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._file = _open(self.path)
        attributes = self._file.attrs
        self.info = CacheInfo.from_attributes(attributes, self.path)
        for name in attributes["shard_files"]:
            if not (self.path.parent / name).is_file():
                raise UserError(
                    f"{self.path} refers to the shard {name}, which is missing: run the workflow "
                    "again, or restore the shard"
                )
        self._activations = self._file["activations"]
        self._crc = self._file["crc32"][:]
        self.labels = self._file["labels"][:]
        self.image_ids = [name.decode() for name in self._file["image_ids"][:]]
        self.skipped_ids = [name.decode() for name in self._file["skipped_ids"][:]]
        self.chunks = _chunks(attributes["shard_images"].tolist(), self.info.chunk_images)
        has_statistics = "statistics" in self._file
        self.mean = self._file["statistics/mean"][:] if has_statistics else None
        self.std = float(self._file["statistics/std"][()]) if has_statistics else None
        self.fingerprint = content_fingerprint(self.info, self._crc, self.labels, self.image_ids)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    @property
    def images(self):
        """N, the number of images."""
        return len(self.labels)

    @property
    def tokens(self):
        """N·P, the number of patch tokens."""
        return self.images * self.info.patches

    def read_chunk(self, number, out=None):
        """The activations of chunk `number`: float16 [n, P, D], written to `out` if it is given.

        Several threads may read at once: HDF5 lets one of them in, and the others check what they
        have read. Raises UserError if the chunk is damaged.
        """
        start, stop = self.chunks[number]
        shape = (stop - start, self.info.patches, self.info.width)
        chunk = np.empty(shape, np.float16) if out is None else out
        try:
            self._activations.read_direct(chunk, slice(start, stop))
        except OSError as error:
            cure = "remove the damaged shard and run the workflow again"
            raise unreadable(f"chunk {number} of {self.path}", error, "HDF5", cure) from error
        _check_crc(chunk, self._crc[number], self.path, number)
        return chunk


def read_statistics(path):
    """(mean float64 [D], std) of the training cache at `path`; UserError if it has none."""
    with ActivationCache(path) as cache:
        if cache.mean is None:
            raise UserError(
                f"{path} has no statistics, so it is not a training cache: name the split that the "
                "config names as `train`"
            )
        return cache.mean, cache.std


ACTIVATIONS = (
    *("backbone", "model", "weights_fingerprint", "layer"),
    *("grid", "width", "token_order", "preprocessing"),
)
"""The attributes that say of which network and block activations are, and how it saw the images."""


def check_same_activations(info, other):
    """UserError unless two caches hold activations of one block of one network, read in one way."""
    for name in ACTIVATIONS:
        if (one := getattr(info, name)) != (two := getattr(other, name)):
            raise UserError(
                f"the cache of {info.dataset}/{info.split} holds activations with {name} {one!r}, "
                f"that of {other.dataset}/{other.split} with {name} {two!r}, so one cannot be used "
                "with the other: extract again the one that is out of date"
            )


def check_compatible(info, backbone, layer):
    """UserError unless the cache holds activations of this backbone's layer."""
    if (info.backbone, info.layer) != (backbone, layer):
        raise UserError(
            f"the cache of {info.dataset}/{info.split} holds activations of {info.backbone} at "
            f"layer {info.layer}, but those of {backbone} at layer {layer} are needed: restore "
            "that cache, or extract it again"
        )
