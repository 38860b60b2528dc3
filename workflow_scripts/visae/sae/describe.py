"""What `config.yaml` says of an SAE, trained here or imported (see docs/formats.md)."""

from __future__ import annotations

from typing import Any

from visae.activations.format import ACTIVATIONS
from visae.activations.source import Activations
from visae.sae.families import FAMILIES, L0_TOLERANCE
from visae.sae.model import SparseAutoencoder
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.threshold import Threshold, held_out_images


def describe_sae(spec: SaeSpec, model: SparseAutoencoder, threshold: Threshold) -> dict[str, Any]:
    """Family, sizes and threshold of an SAE; if it is steered, whether it reached its target."""
    described = {
        "name": spec.name,
        "activation": spec.family,
        "k": spec.k,
        "sparsity": spec.sparsity,
        "threshold": threshold.value,
        "input_dim": model.width,
        "hidden_dim": model.features,
        "expansion_factor": spec.expansion_factor,
    }
    if FAMILIES[spec.family].steered and spec.sparsity is not None:
        described["converged"] = abs(threshold.l0 - spec.sparsity) <= L0_TOLERANCE
    return described


def describe_data(cache: Activations, normalising: Activations) -> dict[str, Any]:
    """The training activations: which backbone, layer, split and content.

    normalising: those whose statistics normalise what the SAE encodes.
    """
    data = {name: getattr(cache.info, name) for name in (*ACTIVATIONS, "dataset", "split")}
    if cache.info.weights_reading:
        data["weights_reading"] = cache.info.weights_reading
    return {
        **data,
        "grid": list(cache.info.grid),
        "storage": cache.info.storage,
        "images": cache.images,
        "cache_fingerprint": cache.fingerprint,
        "statistics": f"{normalising.info.dataset}/{normalising.info.split}",
    }


def describe_held_out(
    cache: Activations, settings: TrainingSettings, threshold: Threshold
) -> dict[str, Any]:
    """Where the inference threshold and L0 were measured."""
    described = {
        "dataset": cache.info.dataset,
        "split": cache.info.split,
        "cache_fingerprint": cache.fingerprint,
        "images": len(held_out_images(cache, settings.threshold_images)),
        "l0": threshold.l0,
    }
    if threshold.saturated:
        described["note"] = (
            "fewer codes are positive than K per token: the threshold is the smallest positive one"
        )
    return described
