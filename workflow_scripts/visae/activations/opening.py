"""Opening activations, whatever they are: a cache, a view of one, or images without a cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from visae.activations import permuted
from visae.activations.cache import ActivationCache
from visae.activations.normalisation import statistics_of
from visae.activations.permuted import PermutedCache
from visae.activations.source import Activations, Cache
from visae.base.arrays import Float
from visae.base.paths import Paths, backbone_and_layer
from visae.base.seals import recorded


def open_cache(path: str | Path, whole: bool = True) -> Cache:
    """The cache at `path`, or the view of one: UserError when it is damaged or missing.

    whole: as of `ActivationCache`.
    """
    of_view = recorded(path).get("kind") == permuted.FORMAT
    return PermutedCache(path, whole) if of_view else ActivationCache(path, whole)


def read_statistics(path: str | Path) -> tuple[Float[np.ndarray, " D"], float]:
    """(mean float64 [D], std) of the cache at `path`; UserError if it has none."""
    with open_cache(path, whole=False) as cache:
        return statistics_of(cache)


def open_training(path: str | Path, results: Paths, params: Any, threads: int) -> Cache:
    """The training cache at `path`; without shards, its activations are computed when asked for.

    results: of the job. params: the job's. Without shards they have what a network needs:
    `backbone`, `root`, `extraction` and `order_seed`, that of the order of images.
    """
    if not params.get("backbone"):
        return open_cache(path)
    # Torch and the backbones, which caches do not need.
    from visae.activations.computed import computed_cache
    from visae.base.devices import take_device

    return computed_cache(
        open_cache(path, whole=False),
        params.backbone,
        results.index_and_classes,
        params.root,
        params.order_seed,
        take_device(),
        threads,
        params.extraction,
    )


def open_activations(
    results: Paths, place: str, params: Any, threads: int
) -> Iterator[tuple[str, Activations]]:
    """Yield each split and its `Activations`: from caches, or straight from images without one.

    results, place: of the job (`visae.base.paths.of_job`). params: the job's: `splits`; and, where
    there are no caches, what `activations_of` in rules/encoding.smk adds, with the folder of each
    split's images. Activations are open until the next are asked for.
    """
    if not params.get("backbone"):
        for split in params.splits:
            with open_cache(results.cache(split, place)) as cache:
                yield split, cache
        return
    # Torch and the backbones, which caches do not need.
    from visae.activations.streaming import open_streams
    from visae.backbones import BackboneSpec
    from visae.base.devices import take_device

    backbone, layer = backbone_and_layer(place)
    yield from open_streams(
        BackboneSpec(backbone, **params.backbone),
        layer,
        {split: (root, *results.index_and_classes(split)) for split, root in params.splits.items()},
        take_device(),
        threads - 1,
        params.extraction,
    )
