"""Reading a joined activation cache."""

from __future__ import annotations

import bisect
import itertools
import os
import threading
from pathlib import Path

import h5py
import numpy as np

from visae.activations.format import (
    CacheInfo,
    as_read,
    check_chunk,
    chunk_bounds,
    content_fingerprint,
    open_file,
    open_sealed,
)
from visae.activations.source import Cache
from visae.base import hdf5
from visae.base.arrays import Float, Shaped
from visae.base.checksums import checksum
from visae.base.declared import Array, check_arrays
from visae.base.errors import UserError
from visae.base.reading import guarded, refusing


class ActivationCache(Cache):
    """Read a joined cache, chunk by chunk, each checked against its CRC-32.

    whole: whether shards have to be there. A cache without them still says what is in it, and has
    statistics. Raises UserError when the file is damaged, exchanged or made of others, or a shard
    is missing.
    """

    def __init__(self, path: str | Path, whole: bool = True):
        self.path: Path = Path(path)
        self.files = (self.path,)
        self._file = open_sealed(self.path)
        self._shards: dict[Path, h5py.File] = {}
        self._lock = threading.Lock()
        try:
            with guarded(self.path, "activations"):
                self._read()
            if whole:
                for number in range(len(self._shard_ends)):
                    self._shard_path(number)
        except BaseException:
            self._file.close()
            raise

    def _read(self):
        """Take over what the file says."""
        attributes = hdf5.attributes(self._file)
        self.info = CacheInfo.from_attributes(attributes)
        images = attributes["shard_images"].tolist()
        self.chunks = chunk_bounds(images, self.info.chunk_images)
        self._shard_ends = list(itertools.accumulate(images))
        self._shard_files = hdf5.strings(self._file, "shard_files")
        self.image_ids = hdf5.strings(self._file, "image_ids")
        self.skipped_ids = hdf5.strings(self._file, "skipped_ids")
        declared = ARRAYS | (STATISTICS if "statistics" in self._file else {})
        arrays = {name: hdf5.array(self._file, name) for name in declared}
        sizes = {"C": len(self.chunks), "N": len(self.image_ids), "D": self.info.width}
        check_arrays(declared, arrays, **sizes)
        if len(images) != len(self._shard_files) or self._shard_ends[-1] != len(self.image_ids):
            raise ValueError("its images are not those of its shards")
        self.labels, self._crc = arrays["labels"], arrays["crc32"]
        if "statistics/std" in arrays:
            self.mean, self.std = arrays["statistics/mean"], float(arrays["statistics/std"])
        self._fingerprint = content_fingerprint(self.info, self._crc, self.labels, self.image_ids)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        for file in (self._file, *self._shards.values()):
            file.close()

    def _shard_path(self, number):
        return beside(self.path, self._shard_files[number], "shard")

    def is_chunk(self, number: int | np.integer, stored_npd: Shaped[np.ndarray, "n P D"]) -> bool:
        """Whether activations, as they are stored, are those of chunk `number`."""
        return bool(checksum(stored_npd) == self._crc[number])

    def read_chunk(
        self, number: int | np.integer, out: Float[np.ndarray, "n P D"] | None = None
    ) -> Float[np.ndarray, "n P D"]:
        """The activations of chunk `number`: `info.dtype` [n, P, D], in `out` if it is given.

        Several threads may read at once: HDF5 lets one of them in, and the others check what they
        have read. Raises UserError if the chunk is damaged.
        """
        start, stop = self.chunks[number]
        shape = (stop - start, self.info.patches, self.info.width)
        kind = self.info.stored_dtype
        stored = np.empty(shape, kind) if out is None or out.dtype != kind else out
        # From the shard itself: where a virtual data set finds it depends on links, on the working
        # directory and on HDF5_VDS_PREFIX, and nothing that is found there is refused.
        shard = bisect.bisect_right(self._shard_ends, start)
        path, offset = self._shard_path(shard), self._shard_ends[shard - 1] if shard else 0
        cure = f"remove {path} and run the workflow again"
        with refusing(f"chunk {number} of {self.path}", "in its shard", cure):
            with self._lock:  # of two threads, one opens a shard
                if path not in self._shards:
                    self._shards[path] = open_file(path)
            activations = hdf5.dataset(self._shards[path], "activations")
            activations.read_direct(stored, slice(start - offset, stop - offset))
        check_chunk(stored, self._crc[number], path, number)
        return as_read(stored, self.info, out)


ARRAYS = {"crc32": Array("uint32", "C"), "labels": Array("int64", "N", least=-1)}
STATISTICS = {
    "statistics/mean": Array("float64", "D"),
    "statistics/std": Array("float64", "", least=0),
}
"""Arrays of a joined cache. C: its chunks."""


def beside(path: Path, name: str, kind: str) -> Path:
    """The file `name` of the cache at `path`: seen from its folder, or from that which it links to.

    kind: what it is, for the message. Raises UserError when it is missing.
    """
    for folder in (path.parent, path.resolve().parent):
        # As text: a folder on the way may be a link, from which `..` leads elsewhere.
        file = Path(os.path.normpath(folder / name))
        if file.is_file():
            return file
    raise UserError(
        f"{path} refers to the {kind} {name}, which is missing: run the workflow again, or restore "
        f"the {kind}; where storage is lean, there are none of the activations to train on"
    )
