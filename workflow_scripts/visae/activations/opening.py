"""The activations of the splits that a job reads, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from visae.activations.cache import ActivationCache
from visae.activations.source import Activations


def open_activations(
    inputs: Any, params: Any, wildcards: Any, threads: int
) -> Iterator[Activations]:
    """Yield the `Activations` of each split: from caches, or straight from images without one.

    inputs, params, wildcards, threads: the job's. Its inputs are `caches`, or the `indices` and
    `classes` of the splits; `activations_of` in rules/encoding.smk has the params that these need.
    Each is open until the next is asked for.
    """
    if inputs.get("caches"):
        for path in inputs.caches:
            with ActivationCache(path) as cache:
                yield cache
        return
    # Torch and the backbones, which caches do not need.
    from visae.activations.streaming import open_streams
    from visae.backbones import BackboneSpec
    from visae.base.devices import take_device

    yield from open_streams(
        BackboneSpec(wildcards.backbone, **params.backbone),
        int(wildcards.layer),
        params.splits,
        params.roots,
        inputs.indices,
        inputs.classes,
        take_device(),
        threads - 1,
        params.extraction,
    )
