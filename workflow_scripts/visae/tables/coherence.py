"""Spatial coherence of raw channels (Table 4, Appendix G) and of the arms of M1's control."""

import numpy as np

from visae.encoding.reductions import RawReductions
from visae.evals.localization.compute import localization
from visae.evals.results import read_arrays, read_result
from visae.tables.layout import Column, Table
from visae.tables.published import read_published

# |z| below which the paper calls a mean Moran's I indistinguishable from the null (App. G), and
# the distance from the null below which a rejection is "near-null in effect size": with hundreds
# of channels z rejects effects of no size. The paper's MAE is at 0.0001, its next backbone at 0.17.
NULL_Z = 2.0
NEAR_NULL_EFFECT = 0.01


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


def table_4(raw_coherence):
    """Moran's I of the backbones' own channels (App. G).

    `raw_coherence` maps a backbone to `mean` (over evaluable channels), `null` (−1/(P−1)),
    `z` (App. F) and `channels` (how many were evaluable); `mean` and `z` are None without any.
    Order is kept.
    """
    rows = [
        {"backbone": backbone, **summary, "conclusion": _conclusion(**summary)}
        for backbone, summary in raw_coherence.items()
    ]
    return Table(
        "Table 4: spatial coherence of raw backbone channels",
        (
            Column("backbone", "Backbone"),
            Column("mean", "mean raw I", digits=4),
            Column("null", "null E[I]", digits=4),
            Column("z", "raw z", digits=2),
            Column("channels", "channels"),
            Column("conclusion", "conclusion"),
        ),
        rows,
        (
            f"Conclusion: consistent with the null at |z| ≤ {NULL_Z:g}; beyond it, near-null "
            f"effect size if the mean is within {NEAR_NULL_EFFECT:g} of the null, else non-random.",
        ),
    )


def _conclusion(mean, null, z, channels):
    if not channels or z is None:
        return "not computable"
    if abs(z) <= NULL_Z:
        return "consistent with the null"
    if abs(mean - null) < NEAR_NULL_EFFECT:
        return "near-null effect size"
    return "non-random, coherent" if mean > null else "non-random, dispersed"


def measured_arm(arm, score_path, raw_path, settings):
    """One measured row of `visae.tables.token_order.token_order_table`.

    arm: {`arm`, `backbone`, `token_order`}. score_path: M1 of an SAE of the arm.
    """
    score, arrays = read_result(score_path), read_arrays(score_path, "moran", "images")
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
