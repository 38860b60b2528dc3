"""Reading a joined activation cache."""

from pathlib import Path

import numpy as np

from visae.activations.format import (
    CacheInfo,
    check_chunk,
    chunk_bounds,
    content_fingerprint,
    open_file,
)
from visae.activations.normalisation import statistics_of
from visae.activations.source import Activations
from visae.base.errors import UserError
from visae.base.files import unreadable


class ActivationCache(Activations):
    """Read a joined cache, chunk by chunk, each checked against its CRC-32.

    Attributes: those of `Activations`, and `skipped_ids` (images that could not be read).
    Raises UserError when a shard is missing or has been exchanged.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._file = open_file(self.path)
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
        self.chunks = chunk_bounds(attributes["shard_images"].tolist(), self.info.chunk_images)
        has_statistics = "statistics" in self._file
        self.mean = self._file["statistics/mean"][:] if has_statistics else None
        self.std = float(self._file["statistics/std"][()]) if has_statistics else None
        self.fingerprint = content_fingerprint(self.info, self._crc, self.labels, self.image_ids)

    def close(self):
        self._file.close()

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
        check_chunk(chunk, self._crc[number], self.path, number)
        return chunk


def read_statistics(path):
    """(mean float64 [D], std) of the training cache at `path`; UserError if it has none."""
    with ActivationCache(path) as cache:
        return statistics_of(cache)
