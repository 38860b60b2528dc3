import numpy as np
import pytest
from metric_fixtures import SAE

from visae.evals.localization.compute import localization
from visae.evals.results import read_result, write_result


@pytest.fixture
def sums():
    """Three features with 60, 50 and 49 images; minimum 1 and 5 active patches."""
    images = np.array([[100, 50, 49], [60, 50, 49]])
    means = np.array([[[0.1, 0.2, 0.9], [0.3, 0.5, 0.9]], [[0.15, 0.25, 0.9], [0.2, 0.6, 0.9]]])
    return means * images, images


def test_only_features_with_enough_images_count(sums, tmp_path):
    score = localization(*sums, minimum_active=[1, 5], grid=(14, 14))
    assert score.value == pytest.approx(0.4)  # (0.3 + 0.5) / 2
    assert score.readings["median"] == pytest.approx(0.4)
    assert score.readings["iqr"] == pytest.approx(0.1)
    assert score.readings["null"] == pytest.approx(-1 / 195)
    assert score.readings["rook_minimum_1"] == pytest.approx(0.2)
    assert score.readings["evaluable_fraction"] == pytest.approx(2 / 3)
    # Appendix F, with the sample standard deviation of 0.3 and 0.5.
    assert score.readings["z"] == pytest.approx((0.4 + 1 / 195) / (np.sqrt(0.02) / np.sqrt(2)))
    np.testing.assert_allclose(score.arrays["moran"], [0.3, 0.5, np.nan])
    write_result(tmp_path / "localization.json", "localization", score, SAE, {})
    assert read_result(tmp_path / "localization.json")["data"] == {
        "features": 3,
        "evaluable_features": 2,
    }


def test_no_evaluable_feature_is_null_with_the_reason(sums, tmp_path):
    score = localization(*sums, minimum_active=[1, 5], grid=(14, 14), minimum_images=61)
    assert score.value is None
    assert "60" in score.reason
    assert score.readings["queen_minimum_1"] == pytest.approx(0.1)
    write_result(tmp_path / "localization.json", "localization", score, SAE, {})


def test_one_evaluable_feature_has_no_z(sums):
    score = localization(*sums, minimum_active=[1, 5], grid=(14, 14), minimum_images=60)
    assert score.value == pytest.approx(0.3)
    assert score.readings["z"] is None


def test_a_feature_without_images_is_never_evaluable():
    score = localization(
        np.zeros((2, 1, 2)), np.zeros((1, 2), int), [5], grid=(2, 2), minimum_images=0
    )
    assert score.value is None
