"""Coherence of raw channels and of the control's arms, from planted sums of Moran's I."""

import numpy as np
import pytest
from cache_fixtures import random_activations, write_cache
from metric_fixtures import SAE

from visae.activations.cache import ActivationCache
from visae.base.repository import RESOURCES
from visae.encoding.reductions import RawUnit, write_raw_reductions
from visae.evals.localization.compute import localization
from visae.evals.results import write_result
from visae.tables.coherence import (
    NEAR_NULL_EFFECT,
    NULL_Z,
    measured_arm,
    raw_coherence,
    table_4,
    token_order_arms,
)
from visae.tables.published import read_published

PUBLISHED = RESOURCES / "published_values.csv"
SETTINGS = {"minimum_active": [5, 1], "minimum_images": 50, "variance_floor": 1e-8}
NULL = -1 / 11
"""Of a grid of 3 × 4 patches."""
MEANS = np.array([0.3, 0.1, 0.2, 0.4, 0.9])
IMAGES = np.array([60, 50, 80, 70, 49])
"""Of the five channels: the last has too few images."""


@pytest.fixture
def raw_path(tmp_path):
    """Raw reductions whose channels have the planted means, by 8 neighbours with 5 patches."""
    path = tmp_path / "raw.h5"
    # [queen, rook] × [1, 5] patches × channels: what is asked for is unlike the other three.
    means = np.stack([[-MEANS, MEANS], [MEANS / 2, MEANS / 3]])
    unit = {"tokens": 12, "token_mean": np.zeros(5), "total_squares": 1.0}
    images = np.stack([IMAGES, IMAGES])
    with (
        ActivationCache(write_cache(tmp_path, random_activations(2))) as cache,
        write_raw_reductions(path, cache, [1, 5], 1e-8, {}) as writer,
    ):
        for share, counted in ((0.25, images // 2), (0.75, images - images // 2)):
            writer.add(
                RawUnit(
                    features_max=np.zeros((1, 5), np.float32),
                    embeddings=np.zeros((1, 5), np.float32),
                    moran_sum=share * means * IMAGES,
                    moran_images=counted,
                    **unit,
                )
            )
    return path


def test_coherence_of_raw_channels_is_that_of_the_evaluable_ones(raw_path):
    found = raw_coherence(raw_path, SETTINGS)
    evaluable = MEANS[:4]
    error = evaluable.std(ddof=1) / np.sqrt(4)
    assert found["channels"] == 4
    assert found["mean"] == pytest.approx(0.25)
    assert found["null"] == pytest.approx(NULL)
    assert found["z"] == pytest.approx((0.25 - NULL) / error)
    assert set(found) == {"mean", "null", "z", "channels"}


@pytest.mark.parametrize(("images", "channels"), [(1, 5), (49, 5), (50, 4), (51, 3), (81, 0)])
def test_settings_decide_which_channels_count(raw_path, images, channels):
    found = raw_coherence(raw_path, SETTINGS | {"minimum_images": images})
    assert found["channels"] == channels
    assert (found["mean"] is None) == (channels == 0)
    one_patch = raw_coherence(raw_path, SETTINGS | {"minimum_active": [1, 5]})
    assert one_patch["mean"] == pytest.approx(-0.25)


@pytest.fixture
def score_path(tmp_path):
    """M1 of an SAE: three evaluable features with 51, 90 and 60 images, one with too few."""
    images = np.array([[51, 90, 60, 10]])
    means = np.array([0.2, 0.6, 0.3, 0.9])
    score = localization(np.stack([[means], [means]]) * images, images, [5], (3, 4))
    path = tmp_path / "localization.json"
    write_result(path, "localization", score, SAE, {})
    return path


ARM = {"arm": "MAE, raster", "backbone": "mae", "token_order": "raster"}


def test_an_arm_of_the_control_has_its_sae_beside_its_channels(raw_path, score_path):
    row = measured_arm(ARM, score_path, raw_path, SETTINGS)
    raw = raw_coherence(raw_path, SETTINGS)
    assert row == {
        **ARM,
        "grid": (3, 4),
        "mean": pytest.approx(1.1 / 3),
        "iqr": pytest.approx(0.2),  # quartiles 0.25 and 0.45
        "raw_mean": raw["mean"],
        "raw_z": raw["z"],
        "images": 60.0,  # the median of those that count
    }


def test_an_arm_without_evaluable_feature_has_no_images(tmp_path, raw_path):
    score = localization(np.zeros((2, 1, 3)), np.zeros((1, 3), int), [5], (3, 4))
    write_result(tmp_path / "none.json", "localization", score, SAE, {})
    row = measured_arm(ARM, tmp_path / "none.json", raw_path, SETTINGS)
    assert (row["mean"], row["images"]) == (None, None)
    assert row["raw_mean"] == pytest.approx(0.25)


def test_the_papers_mae_stands_last(raw_path, score_path):
    arms = [ARM, ARM | {"arm": "MAE, permuted", "token_order": "permuted"}]
    rows = token_order_arms(arms, [score_path] * 2, [raw_path] * 2, SETTINGS, PUBLISHED)
    assert [row["token_order"] for row in rows] == ["raster", "permuted", "published"]
    published, last = read_published(PUBLISHED), rows[-1]
    assert last["mean"] == published["text/localization/mae"].value
    assert last["iqr"] == published["text/localization/iqr/mae"].value
    assert last["raw_mean"] == published["table_4/mae/mean"].value
    assert last["raw_z"] == published["table_4/mae/z"].value
    assert (last["grid"], last["images"], last["backbone"]) == ((14, 14), None, "mae")
    with pytest.raises(ValueError, match="shorter"):
        token_order_arms(arms, [score_path], [raw_path] * 2, SETTINGS, PUBLISHED)


@pytest.mark.parametrize(
    ("z", "effect", "conclusion"),
    [
        (NULL_Z, 1.0, "consistent with the null"),
        (-NULL_Z, 1.0, "consistent with the null"),
        (NULL_Z + 1e-9, NEAR_NULL_EFFECT * 0.999, "near-null effect size"),
        (9.0, NEAR_NULL_EFFECT * 1.001, "non-random, coherent"),
        (-9.0, -NEAR_NULL_EFFECT * 1.001, "non-random, dispersed"),
        (-9.0, -NEAR_NULL_EFFECT * 0.999, "near-null effect size"),
    ],
)
def test_bounds_of_the_conclusion(z, effect, conclusion):
    (row,) = table_4({"a": {"mean": NULL + effect, "null": NULL, "z": z, "channels": 4}}).rows
    assert row["conclusion"] == conclusion
    assert (NULL_Z, NEAR_NULL_EFFECT) == (2.0, 0.01)
