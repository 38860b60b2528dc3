"""Writing caches: shards, written in any order, and the file that joins them.

Activations need not be kept. What is measured of them is then all that a shard holds: checksums
and moments of chunks. The file that joins them is the same, byte by byte.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py
import numpy as np

from visae.activations.format import (
    APART,
    FORMAT,
    CacheInfo,
    as_read,
    as_stored,
    check_chunk,
    chunk_bounds,
    open_sealed,
)
from visae.base import hdf5
from visae.base.arrays import Float, Num, Shaped
from visae.base.checksums import checksum
from visae.base.compiled import njit
from visae.base.declared import Array, check_arrays
from visae.base.errors import UserError
from visae.base.files import atomic_path
from visae.base.paths import ROOTS
from visae.base.pools import Threads
from visae.base.progress import counted
from visae.base.reading import guarded
from visae.base.seals import LIBVER, made_of, seal_hdf5

SHARD_ARRAYS = {
    "crc32": Array("uint32", "C"),
    "labels": Array("int64", "N", least=-1),
    "chunk_mean": Array("float64", "C D"),
    "chunk_squares": Array("float64", "C D", least=0),
}
"""Arrays of a shard. C: its chunks."""
SHARD_IDS = ("image_ids", "skipped_ids")


def shard_bounds(images: int, shards: int, chunk_images: int) -> list[tuple[int, int]]:
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


class ShardWriter:
    """Write one shard; it appears under its name only when the `with` block ends well.

    inputs: the files that it is made of. kept: whether it holds the activations themselves.

    `append` takes activations float [n, P, D] of any n, with their labels and image ids. Full
    chunks are written by a thread, one at a time, while the next one is filled: two are held in
    memory. What went wrong there is raised by a later `append`, or at the end of the block.
    Raises UserError when an activation is NaN, or infinite (also as it is stored).
    """

    def __init__(
        self,
        path: str | Path,
        info: CacheInfo,
        shard: int,
        shards: int,
        images: int,
        inputs: Iterable[str | Path] = (),
        kept: bool = True,
    ):
        self.info, self.images = info, images
        self._path, self._made_of = path, made_of(path, inputs)
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(path))
            self._file = stack.enter_context(h5py.File(temporary, "w", libver=LIBVER))
            hdf5.write_attributes(
                self._file, {**info.attributes(), "shard": shard, "shards": shards}
            )
            self._thread = stack.enter_context(Threads(1))
            self._stack = stack.pop_all()
        shape = (images, info.patches, info.width)
        chunk = (min(info.chunk_images, max(images, 1)), info.patches, info.width)
        self._activations = None
        if kept:
            self._activations = self._file.create_dataset(
                "activations",
                shape,
                info.stored_dtype,
                chunks=chunk,
                maxshape=(images, *shape[1:]),
            )
        # The one that is being filled, and the one that is being written.
        self._buffers = [
            np.empty((info.chunk_images, *shape[1:]), info.stored_dtype) for _ in range(2)
        ]
        self._filled, self._handed_over = 0, 0
        self._writing: Future[None] = Future()  # of the chunk that the thread was given last
        self._writing.set_result(None)
        self._crc, self._means, self._squares = [], [], []
        self._labels, self._ids, self._skipped = [], [], []

    def append(
        self,
        activations_npd: Num[np.ndarray, "n P D"],
        labels: Iterable[int | np.integer],
        image_ids: Sequence[str],
    ) -> None:
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

    def skip(self, image_id: str) -> None:
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
        if self._activations is not None:
            self._activations[start : start + len(chunk)] = chunk
        mean, squares = moments_of(chunk, self.info)
        self._means.append(mean)
        self._squares.append(squares)
        self._crc.append(checksum(chunk))

    def __enter__(self) -> Self:
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
        if self._activations is not None:
            self._activations.resize(written, axis=0)  # without what was skipped
        width = self.info.width
        self._file["crc32"] = np.array(self._crc, np.uint32)
        self._file["labels"] = np.array(self._labels, np.int64)
        hdf5.write_strings(self._file, "image_ids", self._ids)
        hdf5.write_strings(self._file, "skipped_ids", self._skipped)
        self._file["chunk_mean"] = np.array(self._means).reshape(-1, width)
        self._file["chunk_squares"] = np.array(self._squares).reshape(-1, width)
        seal_hdf5(self._file, self._path, FORMAT, self._made_of, APART)


def moments_of(
    stored_npd: Shaped[np.ndarray, "n P D"], info: CacheInfo
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, " D"]]:
    """Mean and Σ(a - mean)² of a chunk as it is stored, by channel: float64 [D] each."""
    if info.storage == "float16":
        return _moments(stored_npd.view(np.uint16).reshape(-1, info.width))
    tokens_td = as_read(stored_npd, info).reshape(-1, info.width).astype(np.float64)
    mean = tokens_td.mean(axis=0)
    return mean, ((tokens_td - mean) ** 2).sum(axis=0)


@njit(nogil=True, cache=True)
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


@njit
def _value(bits):
    """The finite float16 number with these bits, as float64."""
    # Exponent and fraction where float32 has them; the exponents' biases differ by 112.
    sign = (np.uint32(bits) & np.uint32(0x8000)) * np.uint32(2**16)
    rest = (np.uint32(bits) & np.uint32(0x7FFF)) * np.uint32(2**13)
    return np.float64(np.uint32(sign | rest).view(np.float32) * np.float32(2.0**112))


def join_shards(
    shard_paths: Sequence[str | Path],
    path: str | Path,
    statistics: bool,
    measured: Sequence[str | Path] | None = None,
) -> None:
    """Check all shards of a cache and join them as a virtual data set at `path`.

    shard_paths: in order, below the folder of `path`. statistics: also write
    `/statistics/mean` [D] and `/statistics/std`. measured: shards without activations, which are
    there in place of these. Raises UserError when a shard is damaged, missing, or of another
    cache.
    """
    path = Path(path)
    shards = [
        _checked_shard(shard, number, len(shard_paths), kept=measured is None)
        for number, shard in enumerate(measured or shard_paths)
    ]
    info = shards[0].info
    for shard in shards[1:]:
        _check_same(info, shard.info, shard.path)
    misaligned = [s.path for s in shards[:-1] if s.images % info.chunk_images]
    # Skipped images shorten a shard; chunk boundaries are then kept per shard, see `chunk_bounds`.
    if misaligned and not any(s.ids["skipped_ids"] for s in shards):
        raise UserError(
            f"{misaligned[0]} does not hold whole chunks of {info.chunk_images} images: remove it "
            "and extract it again"
        )
    _write_joined(
        path,
        info,
        list(zip(shard_paths, [shard.images for shard in shards], strict=True)),
        {name: np.concatenate([s.arrays[name] for s in shards]) for name in SHARD_ARRAYS},
        {name: [text for shard in shards for text in shard.ids[name]] for name in SHARD_IDS},
        statistics,
        made_of(path, measured or shard_paths),
    )


def _write_joined(path, info, shards, arrays, ids, statistics, origin):
    """Write the joined cache at `path` of shards, which need not be there.

    shards: the path and the number of images of each. arrays, ids: those of all shards, by the
    names in `SHARD_ARRAYS` and `SHARD_IDS`. statistics: as of `join_shards`. origin: what
    all is made of. Raises UserError where activations do not vary.
    """
    images = [count for _, count in shards]
    shape = (sum(images), info.patches, info.width)
    layout, start = h5py.VirtualLayout(shape, info.stored_dtype), 0
    layout.dcpl.set_obj_track_times(False)  # equal caches are equal bytes, whenever they are made
    names = [os.path.relpath(shard, path.parent) for shard, _ in shards]
    for name, count in zip(names, images, strict=True):
        source = h5py.VirtualSource(name, "activations", (count, *shape[1:]))
        layout[start : start + count] = source
        start += count
    # Of what the shards were made of: their content is in the checksums.
    origin = {place: digest for place, digest in origin.items() if place.startswith(ROOTS[:2])}
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=LIBVER) as file:
        hdf5.write_attributes(file, info.attributes())
        file.attrs["shard_images"] = np.array(images)
        hdf5.write_strings(file, "shard_files", names)
        file.create_virtual_dataset("activations", layout)
        for name in ("crc32", "labels"):
            file[name] = arrays[name]
        for name in SHARD_IDS:
            hdf5.write_strings(file, name, ids[name])
        if statistics:
            bounds = chunk_bounds(images, info.chunk_images)
            counts = [(stop - start) * info.patches for start, stop in bounds]
            mean, std = _merge_moments(counts, arrays["chunk_mean"], arrays["chunk_squares"])
            if not std > 0:
                raise UserError(
                    f"the activations of {info.backbone} at layer {info.layer} on {info.dataset}/"
                    f"{info.split} do not vary: check the backbone's weights and the images"
                )
            found = file.create_group("statistics")  # made by a path it would keep the time, too
            found["mean"], found["std"] = mean, std
        seal_hdf5(file, path, FORMAT, origin, APART)


def _merge_moments(counts_c, means_cd, squares_cd):
    """Mean [D] and s = sqrt(mean over d of the variance), chunk by chunk in a fixed order."""
    total, mean, squares = 0, np.zeros(means_cd.shape[1]), np.zeros(means_cd.shape[1])
    for count, chunk_mean, chunk_squares in zip(counts_c, means_cd, squares_cd, strict=True):
        delta = chunk_mean - mean
        squares += chunk_squares + delta**2 * (total * count / (total + count))
        mean += delta * (count / (total + count))
        total += count
    return mean, np.sqrt((squares / total).mean())


@dataclass(frozen=True)
class _Shard:
    path: Path
    info: CacheInfo
    images: int
    arrays: dict[str, np.ndarray]
    """By name, those of `SHARD_ARRAYS`."""
    ids: dict[str, list[str]]
    """By name, those of `SHARD_IDS`."""


def _checked_shard(path, number, total, kept):
    path = Path(path)
    with open_sealed(path) as file, guarded(path, "a whole shard"):
        attributes = hdf5.attributes(file)
        info = CacheInfo.from_attributes(attributes)
        stated = int(attributes["shard"]), int(attributes["shards"])
        arrays = {name: hdf5.array(file, name) for name in SHARD_ARRAYS}
        ids = {name: hdf5.strings(file, name) for name in SHARD_IDS}
        images = len(ids["image_ids"])
        bounds = chunk_bounds([images], info.chunk_images)
        check_arrays(SHARD_ARRAYS, arrays, C=len(bounds), N=images, D=info.width)
        if ("activations" in file) != kept:
            raise ValueError(f"it holds {'no ' if kept else ''}activations")
        if kept:
            activations = hdf5.dataset(file, "activations")
            shape, kind = (images, info.patches, info.width), info.stored_dtype
            # Before a value is read: HDF5 makes room for what a header claims.
            if (activations.shape, activations.dtype) != (shape, kind):
                raise ValueError(
                    f"activations are {activations.dtype} of shape {activations.shape}, where "
                    f"{kind} of shape {shape} is expected"
                )
            chunks = counted(bounds, f"chunks of shard {number} checked", len(bounds))
            for index, (start, stop) in enumerate(chunks):
                check_chunk(activations[start:stop], arrays["crc32"][index], path, index)
    if stated != (number, total):
        raise UserError(
            f"{path} says that it is shard {stated[0]} of {stated[1]}, but shard {number} of "
            f"{total} was expected: remove it and run the workflow again"
        )
    return _Shard(path, info, images, arrays, ids)


def _check_same(info, other, path):
    for name, value in vars(info).items():
        if vars(other)[name] != value:
            raise UserError(
                f"{path} does not belong with the other shards: its {name} is "
                f"{vars(other)[name]!r}, theirs is {value!r}; remove it and run the workflow again"
            )
