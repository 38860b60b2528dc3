"""Spatial coherence from the files of a run: of raw channels, and of the arms of the control."""

import numpy as np

from visae.encoding.reductions import RawReductions
from visae.evals.localization.compute import localization
from visae.evals.results import read_arrays, read_result
from visae.tables.published import read_published


def raw_coherence(path, settings):
    """Mean Moran's I of a backbone's own channels (Table 4): mean, null, z, channels.

    path: raw reductions. settings: `metrics.localization` of the config.
    """
    with RawReductions(path) as raw:
        score = localization(
            raw.moran_sum,
            raw.moran_images,
            raw.minimum_active,
            raw.grid,
            headline_minimum=settings["minimum_active"][0],
            minimum_images=settings["minimum_images"],
        )
    return {
        "mean": score.value,
        "null": score.readings["null"],
        "z": score.readings["z"],
        "channels": score.data["evaluable_features"],
    }


def measured_arm(arm, score_path, raw_path, settings):
    """One measured row of `visae.tables.token_order.token_order_table`.

    arm: {`arm`, `backbone`, `token_order`}. score_path: M1 of an SAE of the arm.
    """
    score, arrays = read_result(score_path), read_arrays(score_path)
    raw = raw_coherence(raw_path, settings)
    with RawReductions(raw_path) as reductions:
        grid = reductions.grid
    evaluable = ~np.isnan(arrays["moran"])
    return {
        **arm,
        "grid": grid,
        "mean": score["value"],
        "iqr": score["readings"]["iqr"],
        "raw_mean": raw["mean"],
        "raw_z": raw["z"],
        "images": float(np.median(arrays["images"][evaluable])) if evaluable.any() else None,
    }


def published_arm(path):
    """The paper's MAE as a row of the same table (14×14 patches)."""
    published = read_published(path)
    return {
        "arm": "MAE, as published",
        "backbone": "mae",
        "token_order": "published",
        "grid": (14, 14),
        "mean": published["text/localization/mae"].value,
        "iqr": published["text/localization/iqr/mae"].value,
        "raw_mean": published["table_4/mae/mean"].value,
        "raw_z": published["table_4/mae/z"].value,
        "images": None,
    }


def token_order_arms(arms, score_paths, raw_paths, settings, published_path):
    """All rows of the control: the measured arms, then the paper's MAE."""
    measured = [
        measured_arm(arm, score, raw, settings)
        for arm, score, raw in zip(arms, score_paths, raw_paths, strict=True)
    ]
    return [*measured, published_arm(published_path)]
