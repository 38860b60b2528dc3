"""The cache of the control arm `token_order: permuted`: a view of the cache in raster order.

The activations of the control are those of the backbone in raster order, each image's in an order
of its own (`docs/protocol.md`). The view names that cache and how orders are drawn; it holds no
activations. The format is described in `docs/formats.md`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from visae.activations.cache import ActivationCache, beside
from visae.activations.format import CacheInfo
from visae.activations.source import Cache
from visae.backbones.order import patch_order
from visae.base import fingerprints, hdf5
from visae.base.arrays import Float
from visae.base.errors import UserError
from visae.base.files import atomic_path
from visae.base.reading import guarded
from visae.base.seals import LIBVER, made_of, open_hdf5, recorded, seal_hdf5

FORMAT = "visae-permuted-activations-1"


def write_permuted(path: str | Path, cache: str | Path, backbone: str, seed: int) -> None:
    """Write the view at `path` of the joined cache at `cache`, for the control called `backbone`.

    seed: of the orders (`visae.backbones.order.patch_order`). Raises UserError when the cache is
    damaged, or not in raster order.
    """
    with ActivationCache(cache, whole=False) as raster:
        info = raster.info
    if info.token_order != "raster":
        raise UserError(
            f"{cache} holds patches in the order {info.token_order!r}, and only those in raster "
            "order can be permuted: name that of a backbone in raster order"
        )
    info = replace(info, backbone=backbone, token_order="permuted")
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=LIBVER) as file:
        named = os.path.relpath(cache, Path(path).parent)
        view = {"cache": named, "cache_digest": recorded(cache)["digest"], "seed": seed}
        hdf5.write_attributes(file, info.attributes() | view)
        seal_hdf5(file, path, FORMAT, made_of(path, [cache]))


class PermutedCache(Cache):
    """Read a view that `write_permuted` wrote: chunk by chunk, as the cache that it names.

    Mean and standard deviation are those of that cache, of the same tokens. Raises UserError when
    the view or the cache is damaged, exchanged or missing. whole: as of `ActivationCache`. raster:
    the open cache, in whose place there may be another of the same activations.
    """

    def __init__(self, path: str | Path, whole: bool = True):
        self.path = Path(path)
        self.files = (self.path,)
        with open_hdf5(self.path, FORMAT) as file, guarded(self.path, "a view of a cache"):
            attributes = hdf5.attributes(file)
            self.info = CacheInfo.from_attributes(attributes)
            named, digest = (hdf5.text(attributes[name]) for name in ("cache", "cache_digest"))
            self.seed = int(attributes["seed"])
            if self.seed < 0:
                raise ValueError(f"its seed is {self.seed}")
        of = beside(self.path, named, "cache")
        if recorded(of)["digest"] != digest:
            raise UserError(
                f"{self.path} is a view of another {of} than lies there now: remove the view and "
                "run the workflow again"
            )
        self.raster: Cache = ActivationCache(of, whole)
        own = {"backbone": self.info.backbone, "token_order": "permuted"}
        if replace(self.raster.info, **own) != self.info:
            self.close()
            raise UserError(
                f"{self.path} describes other activations than {of}, of which it is a view: remove "
                "the view and run the workflow again"
            )
        for name in ("labels", "image_ids", "skipped_ids", "chunks", "mean", "std"):
            setattr(self, name, getattr(self.raster, name))

    @property
    def fingerprint(self) -> str:
        said = f"{self.info.backbone} {self.info.token_order} {self.seed}"
        return fingerprints.of_bytes(said.encode(), self.raster.fingerprint.encode())

    def close(self) -> None:
        self.raster.close()

    def read_chunk(
        self, number: int | np.integer, out: Float[np.ndarray, "n P D"] | None = None
    ) -> Float[np.ndarray, "n P D"]:
        raster_npd = self.raster.read_chunk(number)
        permuted_npd = np.empty_like(raster_npd) if out is None else out
        start, stop = self.chunks[number]
        for image_id, raster_pd, permuted_pd in zip(
            self.image_ids[start:stop], raster_npd, permuted_npd, strict=True
        ):
            permuted_pd[...] = raster_pd[patch_order(self.info.patches, image_id, self.seed)]
        return permuted_npd
