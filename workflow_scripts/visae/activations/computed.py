"""A training cache without its shards: measured in one pass, computed again whenever it is read.

`measure` writes the joined cache that extraction would leave, byte by byte, with checksums and
statistics but with no activations. `ComputedCache` stands in for it where it is read: a chunk is
computed from its images, in the same batches, and held against its checksum. So batches and
weights are those of training from a cache.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visae.activations.extraction import cache_info, decoders, token_batches, tokens_of
from visae.activations.format import as_read, as_stored, checksum, chunk_bounds
from visae.activations.permuted import PermutedCache
from visae.activations.shards import moments_of, shard_bounds, write_joined
from visae.activations.source import Cache
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.backbone import Backbone
from visae.backbones.checks import check_backbone
from visae.base.arrays import Float
from visae.base.errors import UserError
from visae.base.seals import made_of
from visae.images.decoding import load_image
from visae.images.index import ImageIndex
from visae.images.rows import open_index


def measure(
    backbone: Backbone,
    dataset: str,
    split: str,
    index: ImageIndex,
    root: str | Path,
    shards: Mapping[int, list[str]],
    outputs: Mapping[int, str | Path],
    chunk_images: int = 64,
    batch_size: int = 64,
    workers: int = 0,
    precision: str = "float32",
    inputs: tuple[str | Path, ...] = (),
) -> None:
    """Write the joined caches of some blocks from one pass, without shards.

    outputs: block → file. shards: block → the paths that shards would have. inputs: the files that
    the index was read from. The rest as for `activations.extraction.extract`.
    """
    records = index.images
    bounds = shard_bounds(len(records), len(next(iter(shards.values()))), chunk_images)
    counts = [stop - start for start, stop in bounds]
    # Whole batches make a chunk, so that a pass in one go has the batches of the shards.
    batches = token_batches(
        backbone, list(outputs), records, root, batch_size, workers, "fail", precision
    )
    info = cache_info(backbone, 0, dataset, split, index, chunk_images)
    ledgers = {layer: _Ledger(replace(info, layer=layer)) for layer in outputs}
    edges = {stop for _, stop in chunk_bounds(counts, chunk_images)}
    done = 0
    with contextlib.closing(batches):
        for kept, tokens, _ in batches:
            done += len(kept)
            for layer, ledger in ledgers.items():
                ledger.add(tokens[layer], [record.image_id for record in kept], done in edges)
    ids = {"image_ids": [record.image_id for record in records], "skipped_ids": []}
    labels = np.array([record.label for record in records], np.int64)
    for layer, ledger in ledgers.items():
        path = outputs[layer]
        write_joined(
            path,
            ledger.info,
            list(zip(shards[layer], counts, strict=True)),
            ledger.arrays() | {"labels": labels},
            ids,
            statistics=True,
            origin=made_of(path, (*inputs, backbone.spec.weights)),
        )


class _Ledger:
    """Checksums and moments of chunks that are not kept."""

    def __init__(self, info):
        self.info = info
        self._parts, self._crc, self._means, self._squares = [], [], [], []

    def add(self, tokens_npd, image_ids, ends):
        """Take in a batch; ends: whether a chunk ends with it."""
        self._parts.append(as_stored(tokens_npd, self.info, image_ids))
        if not ends:
            return
        chunk_npd, self._parts = np.concatenate(self._parts), []
        mean, squares = moments_of(chunk_npd, self.info)
        self._means.append(mean)
        self._squares.append(squares)
        self._crc.append(checksum(chunk_npd))

    def arrays(self):
        """Those of all chunks, by the names that shards have for them."""
        return {
            "crc32": np.array(self._crc, np.uint32),
            "chunk_mean": np.array(self._means),
            "chunk_squares": np.array(self._squares),
        }


class ComputedCache(Cache):
    """A cache without shards, whose chunks are computed when they are read, by several threads.

    measured: the open cache that `measure` wrote, which is closed with this one.
    backbone: built, on its device. index: the split's, in the order of the cache. The rest as for
    `activations.extraction.extract`; workers: threads that decode.

    Raises UserError when backbone or index are others than those that were measured.
    """

    def __init__(
        self,
        measured: Cache,
        backbone: Backbone,
        index: ImageIndex,
        root: str | Path,
        batch_size: int = 64,
        workers: int = 1,
        precision: str = "float32",
    ):
        info = measured.info
        found = cache_info(backbone, info.layer, info.dataset, info.split, index, info.chunk_images)
        # As if written and read: tuples have become lists.
        if type(info).from_attributes(found.attributes()) != info:
            raise UserError(
                f"{measured.path} was measured of other images, or by another network, than are "
                "there now: remove it and run the workflow again"
            )
        for name in ("path", "files", "info", "labels", "image_ids", "skipped_ids", "chunks"):
            setattr(self, name, getattr(measured, name))
        self.mean, self.std = measured.mean, measured.std
        self._measured, self._backbone, self._images = measured, backbone, index.images
        self._root, self._batch_size, self._precision = Path(root), batch_size, precision
        self._decoders, self._network = decoders(max(1, workers)), threading.Lock()

    @property
    def fingerprint(self) -> str:
        return self._measured.fingerprint

    def close(self) -> None:
        self._decoders.close()
        self._measured.close()

    def read_chunk(
        self, number: int | np.integer, out: Float[np.ndarray, "n P D"] | None = None
    ) -> Float[np.ndarray, "n P D"]:
        """The activations of chunk `number`; UserError unless they are those that were measured.

        Of two threads, one decodes while the network has what the other has decoded.
        """
        records = self._images[slice(*self.chunks[number])]
        pixels = [self._decoders.submit(self._decoded, record.path) for record in records]
        pixels = torch.from_numpy(np.stack([each.result() for each in pixels]))
        parts, layer = [], self.info.layer
        with self._network:
            for start in range(0, len(records), self._batch_size):
                batch = slice(start, start + self._batch_size)
                tokens = tokens_of(
                    self._backbone, pixels[batch], records[batch], [layer], self._precision
                )
                ids = [record.image_id for record in records[batch]]
                parts.append(as_stored(tokens[layer], self.info, ids))
        chunk_npd = np.concatenate(parts)
        if not self._measured.is_chunk(number, chunk_npd):
            raise UserError(
                f"the activations of chunk {number} of {self.path} are not those that were "
                "measured: computing them again takes the same images, processor or GPU, threads "
                "and versions; restore these, or remove the file and run the workflow again"
            )
        return as_read(chunk_npd, self.info, out)

    def _decoded(self, path):
        return self._backbone.transform.pixels(load_image(self._root / path))


def computed_cache(
    measured: Cache,
    settings: Mapping[str, Any],
    index_files: Callable[[str], tuple[str, str]],
    root: str | Path,
    order_seed: int,
    device: str,
    threads: int,
    extraction: Mapping[str, Any],
) -> Cache:
    """A `ComputedCache` of an open cache without shards, or the view of one.

    settings: of the `BackboneSpec` but for its name. index_files: function from a split's name to
    its index and classes. extraction: batch_size and precision.
    """
    of_view = isinstance(measured, PermutedCache)
    raster = measured.raster if of_view else measured
    info = raster.info
    order = {"token_order": info.token_order}
    backbone = build_backbone(BackboneSpec(info.backbone, **{**settings, **order}))
    backbone.to(device)
    check_backbone(backbone, info.layer, extraction["precision"])
    computed = ComputedCache(
        raster,
        backbone,
        open_index(*index_files(f"{info.dataset}/{info.split}"), order_seed),
        root,
        extraction["batch_size"],
        threads,
        extraction["precision"],
    )
    if not of_view:
        return computed
    measured.raster = computed
    return measured
