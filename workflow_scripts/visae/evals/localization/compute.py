"""M1 spatial coherence: mean Moran's I of the features' activation maps.

Paper: section 4.1 (Eq. 2 and 3), Appendix F (z), Appendix G (raw channels, sensitivity).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visae.base.arrays import Float, Int
from visae.evals.results import Result

CONTIGUITIES = ("queen", "rook")
"""First axis of `moran_sum`."""


def compute(inputs, settings, job):
    """M1 of an SAE."""
    encoded = inputs.encoded()
    return localization(
        encoded.moran_sum,
        encoded.moran_images,
        encoded.minimum_active,
        encoded.grid,
        headline_minimum=settings["minimum_active"][0],
        minimum_images=settings["minimum_images"],
    )


def localization(
    moran_sum: Float[np.ndarray, "2 M F"],
    moran_images: Int[np.ndarray, "M F"],
    minimum_active: Sequence[int],
    grid: tuple[int, int],
    headline_minimum: int = 5,
    minimum_images: int = 50,
) -> Result:
    """M1 from the sums of one pass; for SAE features and raw channels alike.

    moran_sum: float64 [2, M, F], Σ of Moran's I over evaluable images (queen, rook).
    moran_images: int64 [M, F], evaluable images. minimum_active: the M minimum numbers of
    active patches. grid: (H, W). A feature is evaluable with `minimum_images` evaluable images.

    Arrays: `moran` float64 [F], each feature's mean I in the headline definition (NaN where
    not evaluable), and `images` int64 [F].
    """
    minimum_active = [int(minimum) for minimum in minimum_active]
    patches = grid[0] * grid[1]
    null = -1 / (patches - 1)
    per_feature = {
        (contiguity, minimum): _feature_means(moran_sum[i, m], moran_images[m], minimum_images)
        for i, contiguity in enumerate(CONTIGUITIES)
        for m, minimum in enumerate(minimum_active)
    }
    headline = per_feature["queen", headline_minimum]
    evaluable = headline[~np.isnan(headline)]
    features = headline.size
    known = np.quantile(evaluable, [0.25, 0.5, 0.75]).tolist() if evaluable.size else [None] * 3
    lower, median, upper = known
    readings = {
        "median": median,
        "iqr": None if lower is None or upper is None else upper - lower,
        "evaluable_fraction": evaluable.size / features,
        "null": null,
        "z": _z(evaluable, null),
    }
    for (contiguity, minimum), means in per_feature.items():
        readings[f"{contiguity}_minimum_{minimum}"] = _mean(means[~np.isnan(means)])
    value = _mean(evaluable)
    headline_images = np.asarray(moran_images)[minimum_active.index(headline_minimum)]
    return Result(
        value=value,
        reason=None
        if value is not None
        else f"no feature has {minimum_images} images with {headline_minimum} active patches; "
        f"the most that any has is {headline_images.max(initial=0)}",
        readings=readings,
        details={
            "grid": list(grid),
            "patches": patches,
            "minimum_active": headline_minimum,
            "minimum_images": minimum_images,
            "lower_quartile": lower,
            "upper_quartile": upper,
            "evaluable_features": {
                f"{contiguity}_minimum_{minimum}": int((~np.isnan(means)).sum())
                for (contiguity, minimum), means in per_feature.items()
            },
        },
        data={"features": features, "evaluable_features": evaluable.size},
        arrays={"moran": headline, "images": headline_images},
    )


def _feature_means(sums, images, minimum_images):
    """Mean I of each feature, NaN where it has too few evaluable images."""
    images = np.asarray(images)
    enough = images >= max(minimum_images, 1)
    return np.where(enough, sums / np.maximum(images, 1), np.nan)


def _mean(values):
    return float(values.mean()) if values.size else None


def _z(evaluable, null):
    """Appendix F: distance of the mean from the null in standard errors over features."""
    if evaluable.size < 2:
        return None
    deviation = evaluable.std(ddof=1)
    if deviation == 0:
        return None
    return float((evaluable.mean() - null) / (deviation / np.sqrt(evaluable.size)))
