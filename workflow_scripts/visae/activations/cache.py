"""Reading a joined activation cache."""

from __future__ import annotations

import bisect
import itertools
import os
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
from visae.base.arrays import Float
from visae.base.errors import UserError
from visae.base.reading import refusing


class ActivationCache(Cache):
    """Read a joined cache, chunk by chunk, each checked against its CRC-32.

    Raises UserError when the file is damaged, exchanged or made of others, or a shard is missing.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.files = (self.path,)
        self._file = open_sealed(self.path)
        attributes = hdf5.attributes(self._file)
        self.info = CacheInfo.from_attributes(attributes)
        shards = hdf5.strings(self._file, "shard_files")
        self._shards = [beside(self.path, name, "shard") for name in shards]
        self._open: dict[Path, h5py.File] = {}
        self._crc = hdf5.array(self._file, "crc32")
        self.labels = hdf5.array(self._file, "labels")
        self.image_ids = hdf5.strings(self._file, "image_ids")
        self.skipped_ids = hdf5.strings(self._file, "skipped_ids")
        images = attributes["shard_images"].tolist()
        self.chunks = chunk_bounds(images, self.info.chunk_images)
        self._shard_ends = list(itertools.accumulate(images))
        if "statistics" in self._file:
            self.mean = hdf5.array(self._file, "statistics/mean")
            self.std = hdf5.number(self._file, "statistics/std")
        self._fingerprint = content_fingerprint(self.info, self._crc, self.labels, self.image_ids)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        for file in (self._file, *self._open.values()):
            file.close()

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
        path, offset = self._shards[shard], self._shard_ends[shard - 1] if shard else 0
        cure = f"remove {path} and run the workflow again"
        with refusing(f"chunk {number} of {self.path}", "in its shard", cure):
            if path not in self._open:
                self._open[path] = open_file(path)
            activations = hdf5.dataset(self._open[path], "activations")
            activations.read_direct(stored, slice(start - offset, stop - offset))
        check_chunk(stored, self._crc[number], path, number)
        return as_read(stored, self.info, out)


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
        f"the {kind}"
    )
