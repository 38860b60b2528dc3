"""One of the SAEs that are compared: what it fires on, image by image and patch by patch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse
import torch

from visae.activations.opening import open_cache
from visae.audit.feature_table import FeatureTable, read_table
from visae.audit.patch_maps import check_same, in_raster_order, patch_maps, read_images
from visae.backbones.preprocessing import Preprocessing
from visae.backbones.sizes import pair
from visae.base.arrays import Int
from visae.base.errors import UserError
from visae.encoding.reductions import SaeReductions
from visae.evals.sparse_codes import read_codes
from visae.sae.checkpoint import SavedSae

_WINDOW = 1 << 24
"""Codes, of all features on some patches, that are held before the silent ones are dropped."""


class Side:
    """An SAE with its reductions and its cache of one split, open; a context manager.

    Attributes: `name` (of the SAE, with its place), `sae` (`SavedSae`), `reductions`, `cache`,
    `transform` (`Preprocessing`), `grid`. seed: of the backbone, which drew the orders of patches.

    Raises UserError where the files do not belong together.
    """

    def __init__(self, name: str, sae: SavedSae, cache: Any, reductions: Any, seed: int):
        with ExitStack() as opened:
            self.cache = opened.enter_context(open_cache(cache))
            self.reductions = opened.enter_context(SaeReductions(reductions))
            check_same(self.reductions, self.cache, sae)
            self._open = opened.pop_all()
        self.name, self.sae, self._seed = name, sae, seed
        self.grid = self.cache.info.grid
        # Mean and standard deviation of pixels, and how they are rounded, change nothing of what
        # is seen.
        preprocessing = Preprocessing(**self.cache.info.preprocessing).in_bytes()
        self.transform = replace(preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
        self._pooled: Any = None
        self._table: FeatureTable | None = None
        self._patches: dict[bytes, Any] = {}

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def framing(self) -> tuple[str, float, float, float]:
        """What of an image the backbone sees: of equal framings the same part."""
        (height, width), (rows, columns) = self.transform.shape, pair(self.transform.resize)
        return self.transform.resize_mode, height / rows, width / columns, width / height

    @property
    def table(self) -> FeatureTable:
        """What is known of each of its features, on all images of the split."""
        if self._table is None:
            self._table = read_table(self.reductions, [])
        return self._table

    def pooled(self, images: Int[np.ndarray, " n"]) -> scipy.sparse.csr_array:
        """Pooled codes of images by number: float32 [n, F]. Read once for all that ask."""
        if self._pooled is None:
            self._pooled = scipy.sparse.csr_array(read_codes(self.reductions.codes).T)
        return self._pooled[images]

    def patches(self, images: Int[np.ndarray, " n"]) -> scipy.sparse.csr_array:
        """Magnitudes of codes on the patches of images, in raster order: float32 [n·P, F].

        Computed once for all that ask for the same images.
        """
        key = images.tobytes()
        if key not in self._patches:
            self._patches[key] = self._encoded(images)
        return self._patches[key]

    @torch.inference_mode()
    def _encoded(self, images):
        model, info = self.sae.model, self.cache.info
        places = np.arange(info.patches).reshape(1, *info.grid)
        parts, waiting = [], []

        def encode():
            codes = model.encode(model.normalise(torch.from_numpy(np.concatenate(waiting))))
            parts.append(scipy.sparse.csr_array(codes.abs_().numpy()))
            waiting.clear()

        for image, activations_pd in read_images(self.cache, images):
            order = in_raster_order(places, [self.cache.image_ids[image]], info, self._seed)
            waiting.append(activations_pd[order.ravel()])
            if (len(waiting) + 1) * info.patches * model.features > _WINDOW:
                encode()
        if waiting:
            encode()
        codes = scipy.sparse.csr_array(scipy.sparse.vstack(parts))
        # They were read by number, whatever the order in which they were asked for.
        read = np.argsort(np.argsort(images))[:, None] * info.patches + np.arange(info.patches)
        return codes[read.ravel()]

    def maps(self, images: dict[int, Iterable[int]]) -> dict[int, np.ndarray]:
        """Magnitudes of features' codes on images, in raster order: {feature: [n, H, W]}.

        images: feature → numbers of images.
        """
        numbers = {feature: np.asarray(of_it, np.int64) for feature, of_it in images.items()}
        ids = self.cache.image_ids
        return {
            feature: np.abs(
                in_raster_order(
                    of_it, [ids[n] for n in numbers[feature]], self.cache.info, self._seed
                )
            )
            for feature, of_it in patch_maps(self.sae.model, numbers, self.cache).items()
        }


def common_images(
    left: Sequence[str], right: Sequence[str], names: tuple[str, str]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Where the ids that two lists have in common stand in either, in the order of the left.

    names: of the two SAEs. Raises UserError where there are none.
    """
    places = {image_id: number for number, image_id in enumerate(right)}
    pairs = [
        (number, places[image_id]) for number, image_id in enumerate(left) if image_id in places
    ]
    if not pairs:
        raise UserError(
            f"{names[0]} and {names[1]} have no images in common, so that nothing says which of "
            "their features match: compare SAEs that encoded the same split"
        )
    found_left, found_right = np.array(pairs, np.int64).T
    return found_left, found_right
