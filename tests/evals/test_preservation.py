import dataclasses

import numpy as np
import pytest
from metric_fixtures import SAE
from sklearn.linear_model import LogisticRegression

from visae.evals.preservation import compute
from visae.evals.preservation.compute import preservation
from visae.evals.results import write_result
from visae.probing.raw_probes import fit_raw_probe
from visae.probing.splits import stratified_split


@pytest.fixture(scope="module")
def features():
    """Four classes on two axes of small variance; eight axes of large variance say nothing."""
    random = np.random.default_rng(0)
    labels = np.arange(400) % 4
    signal = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[labels]
    raw = np.hstack([signal + 0.3 * random.normal(size=(400, 2)), 8 * random.normal(size=(400, 8))])
    return raw.astype(np.float32), labels, stratified_split(labels)


def test_a_perfect_reconstruction_keeps_everything(features, tmp_path):
    raw, labels, test_mask = features
    probe = fit_raw_probe(raw, labels, test_mask)
    score = preservation(raw, raw, labels, test_mask, probe)
    assert score.value == 1
    assert score.readings["accuracy_raw"] > 0.95
    assert score.data == {"images": 400, "test_images": 80, "classes": 4, "tested_classes": 4}
    assert preservation(raw, raw, labels, test_mask) == score  # the probe is the same
    write_result(tmp_path / "preservation.json", "preservation", score, SAE, {})


def test_low_fvu_does_not_save_a_lost_class_direction(features):
    raw, labels, test_mask = features
    recon = raw.copy()
    recon[:, :2] = raw[:, :2].mean(axis=0)
    fvu = ((raw - recon) ** 2).sum() / ((raw - raw.mean(0)) ** 2).sum()
    score = preservation(raw, recon, labels, test_mask)
    assert fvu < 0.01
    assert score.value < 0.4
    assert score.readings["retrained"] < 0.5


def test_the_retrained_probe_forgives_what_is_linear(features):
    raw, labels, test_mask = features
    score = preservation(raw, -raw, labels, test_mask)
    assert score.value < 0.1
    assert score.readings["retrained"] == pytest.approx(1, abs=0.03)


def test_accuracies_are_those_of_scikit_learn(features):
    raw, labels, test_mask = features
    recon = raw + 2 * np.random.default_rng(1).normal(size=raw.shape).astype(np.float32)
    score = preservation(raw, recon, labels, test_mask)
    model = LogisticRegression(max_iter=10_000, tol=1e-9).fit(raw[~test_mask], labels[~test_mask])
    expected = [model.score(x[test_mask], labels[test_mask]) for x in (raw, recon)]
    assert score.readings["accuracy_raw"] == pytest.approx(expected[0], abs=0.013)  # one image
    assert score.readings["accuracy_reconstructed"] == pytest.approx(expected[1], abs=0.013)
    own = LogisticRegression(max_iter=10_000, tol=1e-9).fit(recon[~test_mask], labels[~test_mask])
    as_run = own.score(recon[test_mask], labels[test_mask]) / expected[0]
    assert score.readings["as_run"] == pytest.approx(as_run, abs=0.03)
    assert score.readings["as_run"] == score.readings["retrained"]


def test_nothing_held_out_is_null(tmp_path):
    labels = np.arange(5)
    raw = np.eye(5)
    score = preservation(raw, raw, labels, stratified_split(labels))
    assert score.value is None
    assert score.data["test_images"] == 0
    write_result(tmp_path / "preservation.json", "preservation", score, SAE, {})


def test_a_raw_probe_that_knows_nothing_gives_null(tmp_path):
    labels = np.array([0] * 4 + [1] * 4 + [2] * 2)
    test_mask = np.array([False] * 8 + [False, True])
    raw = np.zeros((10, 3), np.float32)  # predicts 0 or 1, never 2
    score = preservation(raw, raw, labels, test_mask)
    assert score.value is None
    assert score.readings["retrained"] is None
    assert score.readings["accuracy_raw"] == 0
    write_result(tmp_path / "preservation.json", "preservation", score, SAE, {})


@pytest.mark.parametrize("converged", [(True, False), (False, True)])
def test_each_probe_says_whether_it_converged(features, converged, monkeypatch):
    raw, labels, test_mask = features
    raw_probe, recon_probe = (
        dataclasses.replace(fit_raw_probe(raw, labels, test_mask), converged=each)
        for each in converged
    )
    monkeypatch.setattr(compute, "fit_probe", lambda *_, **__: recon_probe)
    score = preservation(raw, raw, labels, test_mask, raw_probe)
    assert tuple(score.details["converged"][name] for name in ("raw", "retrained")) == converged
