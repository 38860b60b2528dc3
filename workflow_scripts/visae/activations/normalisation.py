"""The one normalisation of activations: x = (a − mean) / std.

SAEs are trained on x, by the training cache's statistics, and all that is measured of activations
in normalised units is measured of x. The same statistics serve every split and data set, unless
`evaluation.statistics` is `own`: what is not trained on then has those of the evaluation split.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from visae.activations.source import Activations
from visae.base.arrays import Float, Shaped
from visae.base.errors import UserError


def normalise(
    activations: Float[Any, "*n D"], mean: Float[Any, " D"], std: Float[Any, ""] | float
) -> Float[Any, "*n D"]:
    """x = (a − mean) / std in float32 [..., D].

    activations: NumPy array or torch tensor [..., D] of any float type. mean [D], std []: float32,
    of the same library (and on the same device). Both libraries give the same bits.
    """
    is_array = isinstance(activations, np.ndarray)
    single = activations.astype(np.float32) if is_array else activations.float()
    x = single - mean
    x /= std
    return x


def denormalise(
    normalised: Float[Any, "*n D"], mean: Float[Any, " D"], std: Float[Any, ""] | float
) -> Float[Any, "*n D"]:
    """a = x · std + mean: activations of normalised x [..., D]."""
    return normalised * std + mean


def statistics_of(cache: Activations) -> tuple[Float[np.ndarray, " D"], float]:
    """(mean float64 [D], std) of an open cache; UserError if it was joined without."""
    if cache.mean is None or cache.std is None:
        raise UserError(
            f"{cache.path} has no statistics, which only the caches have that a study normalises "
            "by: give that of the training split, or of the evaluation split if "
            "evaluation.statistics is own"
        )
    return cache.mean, cache.std


def check_statistics(
    owner: str, mean: Shaped[np.ndarray, "*_"], std: float, activations: Activations
) -> None:
    """UserError unless mean [D] and std of `owner` can normalise the `Activations`.

    Those that have statistics themselves are normalised by them.
    """
    width = activations.info.width
    if mean.shape != (width,) or not np.isfinite(mean).all() or not 0 < std < np.inf:
        raise UserError(
            f"the activation statistics of {owner} (mean of shape {list(mean.shape)}, std "
            f"{std}) cannot normalise the activations of width {width} in {activations.path}: "
            "train on, or extract, this backbone's activations again"
        )
    if activations.mean is None or activations.std is None:
        return
    same_mean = np.allclose(mean, activations.mean, rtol=1e-5, atol=1e-5 * activations.std)
    if not (same_mean and np.isclose(std, activations.std, rtol=1e-5)):
        raise UserError(
            f"the activation statistics of {owner} are not those of {activations.path}: the SAE "
            "was trained on other activations, train it again"
        )
