"""Probes in any unit of the codes, against solutions of the same problem in extended precision."""

import functools
import itertools

import numpy as np
import pytest
import torch
from metric_fixtures import by_torch

from visae.probing import multinomial
from visae.probing.auc import average_precision, roc_auc
from visae.probing.multinomial import fit_probe
from visae.probing.one_vs_rest import BinaryTask, nested_probes, newton

UNITS = [1e-6, 1e-4, 1e-2, 1.0, 1e3, 1e6]


def optimum(x_nd, labels):
    """(coef [C, D], intercept [C]) by damped Newton steps of the sum of losses + ‖W‖²/2.

    In units of the largest feature, in extended precision but for the linear equations. The
    first class's row is 0 for two classes, else the rows are those of all classes.
    """
    labels = np.asarray(labels, dtype=int)
    (images, features), classes = x_nd.shape, labels.max() + 1
    scale = np.abs(x_nd).max()
    z = np.hstack([x_nd / scale, np.ones((images, 1))]).astype(np.longdouble)
    penalty = np.append(np.full(features, 1 / scale**2), 0).astype(np.longdouble)
    free = np.arange(1, 2) if classes == 2 else np.arange(classes)
    own = labels[:, None] == np.arange(classes)

    def loss(weights):
        logits = np.zeros((images, classes), np.longdouble)
        logits[:, free] = z @ weights.T
        # log(1 + Σ exp of the others against the own): exact relative to itself.
        against = np.where(own, -np.inf, logits - logits[own][:, None])
        return np.logaddexp(0, np.logaddexp.reduce(against, axis=1)).sum() + (
            penalty * weights**2
        ).sum() / 2, logits

    weights = np.zeros((free.size, features + 1), np.longdouble)
    now, logits = loss(weights)
    for _ in range(400):
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        others = np.where(own, 0, shares).sum(axis=1)
        residual = np.where(own, -others[:, None], shares)[:, free]
        gradient = residual.T @ z + penalty * weights
        size = free.size * (features + 1)
        hessian = np.zeros((free.size, features + 1) * 2, np.longdouble)
        for a, b in itertools.combinations_with_replacement(range(free.size), 2):
            c, d = free[a], free[b]
            one = np.where(own[:, c], others, 1 - shares[:, c])
            bend = shares[:, c] * one if a == b else -shares[:, c] * shares[:, d]
            # Symmetric, as z' diag(bend) z is.
            block = (z * bend[:, None]).T @ z + (a == b) * np.diag(penalty)
            hessian[a, :, b, :] = hessian[b, :, a, :] = block
        hessian = hessian.reshape(size, size)
        inverse_root = 1 / np.sqrt(np.diag(hessian))
        equal = hessian * inverse_root * inverse_root[:, None]
        # All intercepts may move together: the pseudo-inverse leaves them.
        step = np.linalg.lstsq(
            equal.astype(float), (gradient.ravel() * inverse_root).astype(float), rcond=1e-15
        )[0]
        step = (step * inverse_root).reshape(weights.shape)
        decrement, length = (gradient * step).sum(), 1.0
        while length > 1e-9:
            trial, trial_logits = loss(weights - length * step)
            if trial <= now - 1e-4 * length * decrement:
                break
            length /= 2
        else:
            break
        weights, now, logits = weights - length * step, trial, trial_logits
        if decrement < 1e-22 * now:
            break
    coef = np.zeros((classes, features))
    intercept = np.zeros(classes)
    coef[free], intercept[free] = weights[:, :-1] / scale, weights[:, -1]
    return coef, intercept


def draw(kind, unit, classes):
    """Codes [D, n + 300], labels, n: classes that overlap, that do not, or few images."""
    images, features, signal = {
        "overlap": (400, 48, 0.5),
        "apart": (300, 40, 5),
        "few": (70, 90, 1),
    }[kind]
    random = np.random.default_rng(3)
    total = images + 300
    labels = random.permutation(np.arange(total) % classes)
    codes = random.gamma(1.0, 1.0, (features, total)) * (random.random((features, total)) < 0.3)
    for label in range(classes):
        codes[label] += signal * (labels == label) * (0.3 + random.random(total))
    return (codes * unit).astype(np.float32), labels, images


@functools.cache
def optimum_of(kind, unit, classes, features=None, positive=None):
    """`optimum` of the training images of a draw: of its first features, of one class or all."""
    codes, labels, n = draw(kind, unit, classes)
    wanted = labels if positive is None else labels == positive
    return optimum(codes[:features, :n].T.astype(np.float64), wanted[:n])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["overlap", "apart", "few"])
def test_one_vs_rest_probes_have_the_areas_of_the_optimum(kind, unit):
    codes, labels, n = draw(kind, unit, 4)
    positive = labels == 0
    budgets = [1, 8, 32, len(codes)]  # Newton up to 32, then L-BFGS
    [readout] = nested_probes([BinaryTask(codes[:, :n], positive[:n], codes[:, n:])], budgets)
    assert readout.converged.all()
    assert readout.scores.dtype == np.float64
    for k, scores in zip(budgets, readout.scores, strict=True):
        coef, _ = optimum_of(kind, unit, 4, k, positive=0)
        exact = coef[1] @ codes[:k, n:].astype(np.float64)
        tolerance = 1e-9 if k <= 32 else 1e-2
        np.testing.assert_allclose(scores, exact, rtol=0, atol=tolerance * np.abs(exact).max())
        for area in (roc_auc, average_precision):
            expected = area(exact, positive[n:])
            assert area(scores, positive[n:]) == pytest.approx(expected, abs=0 if k <= 32 else 2e-3)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["overlap", "apart", "few"])
def test_newton_in_single_precision_has_any_unit(kind, unit):
    codes, labels, n = draw(kind, unit, 4)
    x = np.vstack([np.ones(n, np.float32), codes[:, :n]]).T
    y = torch.as_tensor((labels[:n] == 0).astype(np.float32))[None]
    parameters, converged = newton(
        torch, torch.as_tensor(x)[None], y, torch.ones_like(y), torch.zeros(1, x.shape[1])
    )
    assert converged.all()
    coef, _ = optimum_of(kind, unit, 4, len(codes), positive=0)
    exact = coef[1] @ codes[:, n:].astype(np.float64)
    scores = parameters[0, 1:].double().numpy() @ codes[:, n:].astype(np.float64)
    np.testing.assert_allclose(scores, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["overlap", "apart", "few"])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", ["SciPy", "torch"])
def test_multinomial_probes_choose_as_the_optimum(solver, classes, kind, unit, monkeypatch):
    if solver == "torch":
        monkeypatch.setattr(multinomial, "solve", by_torch)
    codes, labels, n = draw(kind, unit, classes)
    x = codes.T
    probe = fit_probe(x[:n], labels[:n])
    coef, intercept = optimum_of(kind, unit, classes)
    exact = x[n:].astype(np.float64) @ (coef - coef.mean(axis=0)).T
    logits = x[n:].astype(np.float64) @ (probe.coef - probe.coef.mean(axis=0)).T
    np.testing.assert_allclose(logits, exact, rtol=0, atol=1e-2 * np.abs(exact).max())
    differing = probe.predict(x[n:]) != (exact + intercept).argmax(axis=1)
    assert np.count_nonzero(differing) <= 2  # of 300, near the boundary


@pytest.mark.parametrize("unit", [1e-7, 1e-5, 1e-4, 1.0, 1e4])
def test_small_codes_are_no_ties(unit):
    codes = np.zeros((1, 20))
    codes[0, :8] = np.array([10, 20, 30, 40, 5, 6, 7, 8]) * unit
    positive = np.arange(20) < 4
    [readout] = nested_probes([BinaryTask(codes.astype(np.float32), positive, codes)], [1])
    assert roc_auc(readout.scores[0], positive) == 1
    assert average_precision(readout.scores[0], positive) == 1


def test_equal_images_have_equal_scores_wherever_they_stand():
    random = np.random.default_rng(0)
    codes = random.gamma(1.0, 1.0, (48, 60)).astype(np.float16)
    test = np.tile(codes[:, :1], 101)
    task = BinaryTask(codes, np.arange(60) % 3 == 0, test)
    [readout] = nested_probes([task], [2, 16, 48])
    assert (np.ptp(readout.scores, axis=1) == 0).all()
