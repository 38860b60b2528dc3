"""A training cache without its activations, which are computed again whenever it is read.

Extraction has measured them (`visae.activations.shards`): the joined cache holds checksums and
statistics. `ComputedCache` stands in for it where it is read: a chunk is computed from its images,
in the same batches, and held against its checksum. So batches and weights are those of training
from a cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visae.activations.extraction import cache_info, decoders, tokens_of
from visae.activations.format import as_read, as_stored
from visae.activations.permuted import PermutedCache
from visae.activations.source import Cache
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.backbone import Backbone
from visae.backbones.checks import check_backbone
from visae.base.arrays import Float
from visae.base.errors import UserError
from visae.images.decoding import load_image
from visae.images.index import ImageIndex
from visae.images.rows import open_index


class ComputedCache(Cache):
    """A cache without shards, whose chunks are computed when they are read, by several threads.

    measured: the open cache without activations, which is closed with this one.
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
