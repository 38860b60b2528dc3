"""The activations of the splits that a job reads, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from visae.activations.cache import ActivationCache
from visae.activations.source import Activations
from visae.base.paths import Paths, backbone_and_layer


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
            with ActivationCache(results.cache(split, place)) as cache:
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
