"""Probes against solutions of the same problem to a tight tolerance, in float64."""

import numpy as np
import pytest
import threadpoolctl
import torch
from metric_fixtures import by_torch, tight_probe

from visae.base.errors import UserError
from visae.base.pools import Workers
from visae.probing import logistic_regression
from visae.probing import multinomial as probes
from visae.probing import one_vs_rest as binary_probes
from visae.probing.multinomial import (
    LinearProbe,
    choose_estimator,
    fit_probe,
    read_probe,
    write_probe,
)
from visae.probing.one_vs_rest import BinaryTask, nested_probes, newton


def sparse_codes(features, images, seed):
    random = np.random.default_rng(seed)
    codes = random.gamma(1.0, 1.0, (features, images)) * (random.random((features, images)) < 0.2)
    return codes, random


@pytest.fixture(scope="module")
def tasks():
    """Four tasks of different sizes: a rare class, a separable one, a common one, a noisy one."""
    result = []
    for seed, (images, positives) in enumerate([(500, 4), (300, 30), (400, 200), (350, 60)]):
        codes, random = sparse_codes(64, images + 100, seed)
        positive = np.arange(images + 100) % images < positives
        codes[0] += 3 * positive * random.random(images + 100)
        codes[1] += 5 * positive if seed == 1 else 0
        codes = codes.astype(np.float16)
        result.append(BinaryTask(codes[:, :images], positive[:images], codes[:, images:]))
    return result


def tight_scores(task, k):
    model = tight_probe(task.train_kn[:k].T, task.positive)
    return model.decision_function(task.test_km[:k].T.astype(np.float64))


def test_nested_probes_reach_the_tight_solution(tasks):
    budgets = [1, 4, 32, 48, 64]  # Newton up to 32, then lbfgs
    results = list(nested_probes(tasks, budgets))
    assert len(results) == len(tasks)
    for task, readout in zip(tasks, results, strict=True):
        assert readout.converged.all()
        assert readout.scores.shape == (5, 100)
        decisions = readout.scores - readout.thresholds[:, None]
        for k, row in zip(budgets, decisions, strict=True):
            tolerance = 1e-5 if k <= 32 else 2e-2  # of values between -8 and 8
            np.testing.assert_allclose(row, tight_scores(task, k), rtol=0, atol=tolerance)


def test_processes_and_batches_never_change_a_score(tasks, monkeypatch):
    expected = list(nested_probes(tasks, [2, 48]))
    monkeypatch.setattr(binary_probes, "_BATCH_TASKS", {"cpu": 3})
    with Workers(2) as workers:
        results = list(nested_probes(iter(tasks), [2, 48], workers=workers))
    for one, other in zip(expected, results, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-6)
        np.testing.assert_allclose(one.thresholds, other.thresholds, rtol=0, atol=1e-6)


def test_newton_in_single_precision_torch_is_that_of_cuda(tasks):
    task = tasks[3]
    x = np.vstack([np.ones(task.positive.size), task.train_kn]).T.astype(np.float32)
    y = torch.as_tensor(task.positive.astype(np.float32))[None]
    parameters, converged = newton(
        torch, torch.as_tensor(x)[None], y, torch.ones_like(y), torch.zeros(1, x.shape[1])
    )
    assert converged.all()
    scores = parameters[0, 1:].numpy() @ task.test_km.astype(np.float32) + parameters[0, 0].item()
    np.testing.assert_allclose(scores, tight_scores(task, 64), rtol=0, atol=1e-4)


def test_fits_that_do_not_converge_are_told(tasks):
    [readout] = nested_probes(tasks[:1], [64], max_iter=2)
    assert not readout.converged.any()


@pytest.fixture(scope="module")
def classification():
    codes, random = sparse_codes(30, 400, 9)
    labels = random.integers(0, 5, 400) * 3
    codes[:5] += 2 * (labels == 3 * np.arange(5)[:, None])
    return codes.T.astype(np.float32), labels


def centred(coef):
    return coef - coef.mean(axis=0)


@pytest.mark.parametrize("solver", ["SciPy", "torch"])
@pytest.mark.parametrize("classes", [5, 2])
def test_multinomial_probes_reach_the_tight_solution(classification, solver, classes, monkeypatch):
    x, labels = classification
    labels = labels if classes == 5 else (labels > 6).astype(int)
    if solver == "torch":
        monkeypatch.setattr(probes, "solve", by_torch)
    first = fit_probe(x[:, :10], labels)
    probe = fit_probe(x, labels, start=first)
    tight = tight_probe(x, labels)
    assert probe.converged
    tight_coef = tight.coef_ if classes == 5 else np.vstack([-tight.coef_, tight.coef_]) / 2
    np.testing.assert_allclose(centred(probe.coef), centred(tight_coef), rtol=0, atol=4e-3)
    assert probe.accuracy(x, labels) == pytest.approx(tight.score(x, labels), abs=0.0051)


@pytest.mark.parametrize("solver", ["SciPy", "torch"])
def test_features_far_from_zero_have_the_same_probe(classification, solver, monkeypatch):
    x, labels = classification
    if solver == "torch":
        monkeypatch.setattr(probes, "solve", by_torch)
    far = x + np.linspace(-60, 100, x.shape[1], dtype=np.float32)
    probe = fit_probe(far, labels, max_iter=80, start=fit_probe(far[:, :10], labels))
    assert probe.converged
    tight = tight_probe(x, labels)
    np.testing.assert_allclose(centred(probe.coef), centred(tight.coef_), rtol=0, atol=4e-3)
    assert probe.accuracy(far, labels) == pytest.approx(tight.score(x, labels), abs=0.0051)


@pytest.mark.parametrize("classes", [5, 2])
@pytest.mark.parametrize("offset", [0, 40])
def test_more_features_than_images_have_the_same_probe(classes, offset, monkeypatch):
    codes, _ = sparse_codes(200, 80, 4)
    codes[150:] = codes[100:150]  # some say the same
    labels = np.arange(80) % classes
    codes[:5] += 2 * (labels == np.arange(5)[:, None])
    x = codes.T.astype(np.float32) + np.float32(offset)
    probe = fit_probe(x, labels, start=fit_probe(x[:, :10], labels))
    tight = tight_probe(codes.T, labels)
    assert probe.converged
    tight_coef = tight.coef_ if classes == 5 else np.vstack([-tight.coef_, tight.coef_]) / 2
    np.testing.assert_allclose(centred(probe.coef), centred(tight_coef), rtol=0, atol=4e-3)
    assert fit_probe(x, labels, max_iter=1).converged is False
    monkeypatch.setattr(logistic_regression, "_EIGENVECTORS", 0)  # along the features themselves
    np.testing.assert_allclose(fit_probe(x, labels).coef, probe.coef, rtol=0, atol=8e-3)


def test_blas_of_scipy_keeps_to_one_thread_while_it_minimises(classification, monkeypatch):
    def threads():
        pools = threadpoolctl.threadpool_info()
        return {p["filepath"]: p["num_threads"] for p in pools if p["internal_api"] == "openblas"}

    minimise, during = logistic_regression.scipy.optimize.minimize, []

    def watched(*arguments, **settings):
        during.append(threads())
        return minimise(*arguments, **settings)

    monkeypatch.setattr(logistic_regression.scipy.optimize, "minimize", watched)
    with threadpoolctl.threadpool_limits(2):
        before = threads()
        fit_probe(*classification)
        assert threads() == before
    assert set(before.values()) == {2}
    assert during == [{path: 1 if "scipy.libs" in path else 2 for path in before}]
    assert set(during[0].values()) == {1, 2}


def test_probes_without_convergence_say_so(classification):
    assert not fit_probe(*classification, max_iter=2).converged


def test_adam_learns_the_classes_and_is_deterministic(classification):
    x, labels = classification
    probe = fit_probe(x, labels, estimator="adam")
    assert "Adam" in probe.estimator
    assert probe.accuracy(x, labels) == pytest.approx(
        tight_probe(x, labels).score(x, labels), abs=0.05
    )
    np.testing.assert_array_equal(probe.coef, fit_probe(x, labels, estimator="adam").coef)


def test_many_classes_get_adam():
    assert choose_estimator(1000) == "lbfgs"
    assert choose_estimator(10_000) == "adam"


def test_probe_file_and_predictions(tmp_path):
    probe = LinearProbe(
        coef=np.array([[1.0, 0], [0, 1]], np.float32),
        intercept=np.array([0.0, 0.5]),
        classes=np.array([3, 8]),
        estimator="by hand",
        converged=True,
    )
    write_probe(tmp_path / "probe.npz", probe)
    read = read_probe(tmp_path / "probe.npz")
    assert read.estimator == "by hand"
    assert read.converged is True
    x = np.array([[1.0, 0], [0, 1], [0.6, 0], [0.4, 0]])
    assert read.accuracy(x, np.array([3, 8, 3, 3])) == 0.75


def test_predictions_are_of_features_in_float32_whatever_their_type():
    probe = LinearProbe(np.eye(2, dtype=np.float32), np.zeros(2), np.arange(2), "by hand", True)
    x = np.array([[1.0, 1 + 1e-12], [1, 1 + 1e-3]])  # the first row ties in float32
    assert probe.predict(x).tolist() == [0, 1]


def test_one_class_cannot_be_probed():
    with pytest.raises(UserError, match="two classes"):
        fit_probe(np.zeros((3, 2)), np.array([1, 1, 1]))


@pytest.mark.parametrize("solver", ["SciPy", "torch"])
def test_features_that_tell_little_have_a_probe_as_well(solver, monkeypatch):
    """The slope of the loss is small from the beginning, and no probe stays at 0 for that."""
    if solver == "torch":
        monkeypatch.setattr(probes, "solve", by_torch)
    random = np.random.default_rng(3)
    x, labels = random.normal(size=(12, 2)), np.arange(12) % 2
    sign = 2.0 * labels - 1
    x -= sign[:, None] * (sign @ x - 0.05) / 12  # Σ ± x is 0.05
    tight = tight_probe(x, labels).coef_[0]
    assert 1e-3 < np.abs(tight).max() < 0.02
    probe = fit_probe(x.astype(np.float32), labels)
    found = probe.coef[1] - probe.coef[0]
    np.testing.assert_allclose(found, tight, rtol=0, atol=1e-2 * np.abs(tight).max())


@pytest.mark.parametrize("unit", [1.0, 100.0, 1e4])
def test_the_loss_of_logits_of_any_size_is_exact(unit):
    random = np.random.default_rng(4)
    logits = unit * random.normal(size=(40, 5))
    targets = random.integers(0, 5, 40)
    wide = logits.astype(np.longdouble)
    top = wide.max(axis=1, keepdims=True)
    shares = np.exp(wide - top) / np.exp(wide - top).sum(axis=1, keepdims=True)
    own = np.arange(5) == targets[:, None]
    losses = np.log(np.exp(wide - top).sum(axis=1)) + top[:, 0] - wide[own]
    loss, gradient = logistic_regression._multinomial_loss(targets, logits.copy())
    assert loss == pytest.approx(float(losses.sum()), rel=1e-12)
    np.testing.assert_allclose(gradient, (shares - own).astype(float), rtol=1e-9, atol=1e-15)
