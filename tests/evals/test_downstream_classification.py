"""Classification by all codes against full regressions, and what is taken over from M6."""

import numpy as np
import pytest
from metric_fixtures import SAE, make_codes, tight_probe

from visae.base.errors import UserError
from visae.evals.classification import compute as classification
from visae.evals.classification.compute import (
    classify_by_codes,
    classify_raw,
    reconstructed_from_m6,
)
from visae.evals.segmentation.heads import HeadSettings
from visae.probing.multinomial import fit_probe


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("dense_bytes", [0, 2**31])
def test_codes_are_classified_as_by_the_full_regression(classes, dense_bytes, monkeypatch):
    """Labels with gaps, more features than images, an image without codes; sparse and dense."""
    monkeypatch.setattr(classification, "DENSE_BYTES", dense_bytes)
    labels = 3 * (np.arange(100) % classes) + 5
    codes_fn = make_codes(150, labels, signal=2.0)
    codes_fn[:, 9] = 0
    train, test = np.arange(100) < 70, np.arange(100) >= 70
    outcome = classify_by_codes(codes_fn[:, train], codes_fn[:, test], labels[train], labels[test])
    expected = tight_probe(codes_fn.T[train], labels[train])
    assert outcome.value == expected.score(codes_fn.T[test].astype(float), labels[test])
    assert 0.4 < outcome.value < 1
    assert outcome.details["converged"]
    assert outcome.data["features"] == 150


def test_many_classes_are_read_in_blocks(monkeypatch):
    """Beyond what lbfgs is given: Adam on blocks of images, which learns what is planted."""
    monkeypatch.setattr("visae.probing.multinomial.ADAM_ABOVE_CLASSES", 4)
    monkeypatch.setattr(classification, "_BLOCK_IMAGES", 32)
    monkeypatch.setattr(classification, "ADAM", HeadSettings(epochs=40, batch=20))
    labels = np.arange(200) % 5 + 10
    codes_fn = make_codes(80, labels, signal=4.0)
    outcome = classify_by_codes(codes_fn[:, :150], codes_fn[:, 150:], labels[:150], labels[150:])
    expected = tight_probe(codes_fn.T[:150], labels[:150]).score(
        codes_fn.T[150:].astype(float), labels[150:]
    )
    assert expected > 0.8
    assert outcome.value == pytest.approx(expected, abs=0.1)
    assert outcome.details["estimator"].startswith("Adam")


def test_no_test_images_is_null_and_one_class_an_error():
    outcome = classify_by_codes(
        np.ones((3, 4)), np.ones((3, 0)), np.array([0, 0, 1, 1]), np.array([], int)
    )
    assert (outcome.value, outcome.reason) == (None, "the data set has no test images")
    with pytest.raises(UserError, match="needs two classes with training images, there are 1"):
        classify_by_codes(np.ones((3, 4)), np.ones((3, 1)), np.zeros(4, int), np.array([0]))


def test_what_m6_has_is_taken_over():
    score = {
        "sae": SAE,
        "readings": {"dtd_accuracy_reconstructed": 0.7},
        "details": {"estimators": {"dtd": {"reconstructed": "lbfgs"}}},
        "data": {"dtd": {"test_images": 9}},
    }
    assert reconstructed_from_m6(score, "dtd").value == 0.7
    with pytest.raises(UserError, match="no reading cub_accuracy_reconstructed"):
        reconstructed_from_m6(score, "cub")


def test_the_raw_probe_is_scored_on_the_test_images():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = (np.eye(3)[labels] + 0.6 * random.normal(size=(60, 3))).astype(np.float32)
    probe = fit_probe(x[:40], labels[:40])
    outcome = classify_raw(probe, x[40:], labels[40:])
    assert outcome.value == tight_probe(x[:40], labels[:40]).score(x[40:], labels[40:])
    assert 0.5 < outcome.value < 1
    assert classify_raw(probe, x[:0], labels[:0]).reason == "the data set has no test images"
