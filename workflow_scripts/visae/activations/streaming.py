"""Activations without a cache: images → backbone → the chunks that a cache would hold.

For large data sets that are read once or twice, where a cache would take terabytes. A stream
stands in for an open `Cache` in one pass of `visae.encoding` and leaves the same
reductions behind: activations are rounded and cut into chunks as in a cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visae.activations.extraction import cache_info, token_batches
from visae.activations.format import (
    CacheInfo,
    as_read,
    as_stored,
    content_fingerprint,
)
from visae.activations.source import Activations
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.backbone import Backbone
from visae.backbones.checks import check_backbone
from visae.base.arrays import Float
from visae.base.checksums import checksum
from visae.images.index import ImageIndex, read_index


class StreamedActivations(Activations):
    """The activations of one split, to be read once: the chunks in order.

    A context manager: closing it, also halfway, ends the threads or processes that decode images.
    index: the split's `ImageIndex`; root: the data set's folder; files: what all is made of; the
    other arguments are those of `activations.extraction.extract`. `fingerprint` is known only when
    the last chunk has been read.
    Batches start at the start of the split; bits are
    those of a cache whose shards hold whole batches.

    Raises UserError for an unreadable image: the number of images must be known in advance.
    """

    def __init__(
        self,
        backbone: Backbone,
        layer: int,
        dataset: str,
        split: str,
        index: ImageIndex,
        root: str | Path,
        chunk_images: int = 64,
        batch_size: int = 64,
        workers: int = 0,
        precision: str = "float32",
        files: Iterable[str | Path] = (),
    ):
        self.path = f"the stream of {dataset}/{split}"
        info = cache_info(backbone, layer, dataset, split, index, chunk_images)
        self.files = tuple(files)
        # As if written and read, for the fingerprint: tuples have become lists.
        self.info = CacheInfo.from_attributes(info.attributes())
        self.labels = np.array([record.label for record in index.images], np.int64)
        self.image_ids = [record.image_id for record in index.images]
        edges = range(0, self.images, chunk_images)
        self.chunks = [(edge, min(edge + chunk_images, self.images)) for edge in edges]
        self._crc = []
        self._batches = token_batches(
            backbone, [layer], index.images, root, batch_size, workers, "fail", precision
        )
        self._ahead = np.empty((0, self.info.patches, self.info.width), self.info.stored_dtype)

    def read_chunk(self, number: int | np.integer) -> Float[np.ndarray, "n P D"]:
        """The activations of chunk `number`, which must be the next: [n, P, D]."""
        if number != len(self._crc):
            raise RuntimeError(f"chunk {number} of a stream whose next is {len(self._crc)}")
        start, stop = self.chunks[number]
        parts = [self._ahead]
        while sum(map(len, parts)) < stop - start:
            records, tokens, _ = next(self._batches)
            ids = [record.image_id for record in records]
            parts.append(as_stored(tokens[self.info.layer], self.info, ids))
        together = np.concatenate(parts)
        chunk, self._ahead = together[: stop - start], together[stop - start :]
        self._crc.append(checksum(chunk))
        return as_read(chunk, self.info)

    def close(self) -> None:
        self._batches.close()

    @property
    def fingerprint(self) -> str:
        """What the fingerprint of a cache with this content would be."""
        if len(self._crc) < len(self.chunks):
            raise RuntimeError("the fingerprint of a stream is known when all of it was read")
        return content_fingerprint(self.info, self._crc, self.labels, self.image_ids)


def open_streams(
    spec: BackboneSpec,
    layer: int,
    splits: Mapping[str, tuple[str | Path, str | Path, str | Path]],
    device: str,
    workers: int,
    settings: Mapping[str, Any],
) -> Iterator[tuple[str, StreamedActivations]]:
    """Yield each split and its `StreamedActivations`, with one built and checked backbone.

    A stream is closed when the next is asked for, or this generator is closed.

    spec: `BackboneSpec`. splits: `imagenet/val` → the folder of its images, `{split}.csv` and
    `classes.csv`. settings: chunk_images, batch_size, precision.
    """
    backbone = build_backbone(spec)
    backbone.to(device)
    check_backbone(backbone, layer, settings["precision"])
    for name, (root, *files) in splits.items():
        dataset, split = name.split("/")
        index = read_index(*files)
        with StreamedActivations(
            backbone, layer, dataset, split, index, root, workers=workers,
            files=(*files, spec.weights), **settings,
        ) as stream:  # fmt: skip
            yield name, stream
