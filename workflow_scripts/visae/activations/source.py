"""What every reader of activations sees, whether they come from a cache or from images.

`Activations` are a `Cache`, which lies on disk, or `StreamedActivations`. Reductions are
`LabelledImages`, too: they are of the same images in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from visae.activations.format import CacheInfo
from visae.base.arrays import Float, Int, Shaped


class LabelledImages:
    """N images in a fixed order, with what is known of them; a context manager that closes it."""

    labels: Int[np.ndarray, " N"]
    """int64."""
    image_ids: list[str]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Close the files that are open."""

    @property
    def images(self) -> int:
        """N, the number of images."""
        return len(self.labels)


class Activations(LabelledImages):
    """The patch activations of a split, read chunk by chunk."""

    path: str | Path
    """Where they come from, for messages."""
    files: tuple[str | Path, ...] = ()
    """The files that they are read from, or made of where there is no cache."""
    info: CacheInfo
    chunks: list[tuple[int, int]]
    """(start, stop) images of each."""
    mean: Float[np.ndarray, " D"] | None = None
    """float64; None but for the caches by which a study normalises."""
    std: float | None = None
    """None where `mean` is."""

    @property
    def fingerprint(self) -> str:
        """Hash of attributes, identities and checksums: of the whole content."""
        raise NotImplementedError

    @property
    def tokens(self) -> int:
        """N·P, the number of patch tokens."""
        return self.images * self.info.patches

    def read_chunk(self, number: int | np.integer) -> Float[np.ndarray, "n P D"]:
        """The activations of chunk `number`: `info.dtype` [n, P, D]."""
        raise NotImplementedError

    def image_units(self, unit_images: int) -> Iterator[Float[np.ndarray, "_ P D"]]:
        """Yield the activations `unit_images` at a time, whatever the chunks: [n, P, D].

        Units are counted from the first image of the split; only the last one may be smaller.
        """
        rest = None
        for number in range(len(self.chunks)):
            chunk = self.read_chunk(number)
            rest = chunk if rest is None or not len(rest) else np.concatenate([rest, chunk])
            whole = len(rest) - len(rest) % unit_images
            for start in range(0, whole, unit_images):
                yield rest[start : start + unit_images]
            rest = rest[whole:]
        if rest is not None and len(rest):
            yield rest


class Cache(Activations):
    """Activations on disk: read in any order, also by several threads at once."""

    skipped_ids: list[str]
    """Of the images that could not be read."""

    def is_chunk(self, number: int | np.integer, stored_npd: Shaped[np.ndarray, "n P D"]) -> bool:
        """Whether activations, as they are stored, are those of chunk `number`."""
        raise NotImplementedError

    def read_chunk(
        self, number: int | np.integer, out: Float[np.ndarray, "n P D"] | None = None
    ) -> Float[np.ndarray, "n P D"]:
        """The activations of chunk `number`: `info.dtype` [n, P, D], in `out` if it is given."""
        raise NotImplementedError
