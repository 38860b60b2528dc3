"""Many one-against-others logistic probes over nested feature budgets.

Each probe is L2-penalised logistic regression (C = 1: sum of losses + ‖w‖²/2, free intercept),
started from the solution of the next smaller budget. Small budgets, and on CUDA all of them,
are solved by Newton's method for a batch of tasks at once; larger ones on CPU by L-BFGS. The
problem is strictly convex, so the solver changes the time and not the probe.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from visae.base.arrays import Bool, Float
from visae.base.compiled import njit
from visae.base.pools import Workers
from visae.base.progress import Count
from visae.probing.logistic_regression import solve

NEWTON_FEATURES = 32
"""Largest budget that a CPU solves by Newton's method: its Hessians cost n·k² each."""

_BATCH_BYTES = {"cpu": 128 * 2**20, "cuda": 8 * 2**30}
_BATCH_TASKS = {"cpu": 4, "cuda": 16}
"""Few on a CPU, whose workers then end at about the same time."""
_CACHED = 2**17
_NEWTON_STEPS = 100
_HALVINGS = 30


@dataclass(frozen=True)
class BinaryTask:
    """Tell positive from negative images by features in order of their rank."""

    train_kn: Float[np.ndarray, "k n"]
    """Codes of the k ranked features on the training images (feature-major)."""
    positive: Bool[np.ndarray, " n"]
    """Whether a training image is positive."""
    test_km: Float[np.ndarray, "k m"]
    """The same features on the test images."""


class Readout(NamedTuple):
    """What the K probes of a task say of its m test images."""

    scores: Float[np.ndarray, "K m"]
    """float64, w·x: equal ones are ties, an intercept would round small ones to it."""
    thresholds: Float[np.ndarray, " K"]
    """float64: a test image with a larger score is taken for positive."""
    converged: Bool[np.ndarray, " K"]


def nested_probes(
    tasks: Iterable[BinaryTask],
    budgets: Sequence[int],
    max_iter: int = 500,
    device: str = "cpu",
    workers: Workers | None = None,
    total: int | None = None,
) -> Iterator[Readout]:
    """Yield the `Readout` of each task by probes of K budgets.

    tasks: iterable of BinaryTask, consumed as the workers get free, so that memory holds a few
    batches. budgets: ascending feature counts, none above k. workers: of
    `visae.base.pools.workers_on`. total: how many tasks there are, to say how far it is.
    """
    workers = workers or Workers()
    batches = _batches(tasks, "cpu" if device == "cpu" else "cuda")
    count = Count("probes of one class fitted", total)
    for results in workers.map(fit_batch, ((b, list(budgets), max_iter, device) for b in batches)):
        count(len(results))
        yield from results


def _batches(tasks, device):
    """Group consecutive tasks until the batch's design matrices fill the device's share."""
    tasks = iter(tasks)
    for task in tasks:
        task_bytes = 8 * task.train_kn.size
        size = int(np.clip(_BATCH_BYTES[device] // max(task_bytes, 1), 1, _BATCH_TASKS[device]))
        yield [task, *itertools.islice(tasks, size - 1)]


def fit_batch(
    tasks: list[BinaryTask], budgets: list[int], max_iter: int, device: str
) -> list[Readout]:
    """What `nested_probes` yields, for a batch of tasks, as a list."""
    newton_budgets = [k for k in budgets if device != "cpu" or k <= NEWTON_FEATURES]
    lbfgs_budgets = budgets[len(newton_budgets) :]
    solutions = [[] for _ in tasks]
    for probes in _newton_over_budgets(tasks, newton_budgets, device):
        for solution, probe in zip(solutions, probes, strict=True):
            solution.append(probe)
    results = []
    for task, solution in zip(tasks, solutions, strict=True):
        solution += _lbfgs_over_budgets(task, lbfgs_budgets, max_iter, solution)
        test = task.test_km.astype(np.float32)
        scores = [_scores(coef.astype(np.float64), test) for coef, _, _ in solution]
        thresholds = np.array([-intercept for _, intercept, _ in solution], dtype=np.float64)
        converged = np.array([converged for _, _, converged in solution])
        results.append(Readout(np.array(scores), thresholds, converged))
    return results


@njit(nogil=True, cache=True)
def _scores(coef_k, test_km):
    """w·x of every image [m], summed in the order of features: equal images have equal scores."""
    scores_m = np.zeros(test_km.shape[1])
    for k in range(len(coef_k)):
        for m in range(test_km.shape[1]):
            scores_m[m] += coef_k[k] * test_km[k, m]
    return scores_m


def _lbfgs_over_budgets(task, budgets, max_iter, smaller):
    """(coef, intercept, converged) for each budget, each started from the one before."""
    if not budgets:
        return []
    # In float32 the loss of a rare class is too coarse for the line search, which then tries more.
    # From memory, though, numbers of twice the length take twice the time.
    precision = np.float64 if task.train_kn.size <= _CACHED else np.float32
    x = np.ascontiguousarray(task.train_kn.T, dtype=precision)
    start = (smaller[-1][0][None], smaller[-1][1][None]) if smaller else None
    probes = []
    for k in budgets:
        coef, intercept, converged = solve(x[:, :k], task.positive, max_iter, start)
        start = coef, intercept
        probes.append((coef[0], intercept[0], converged))
    return probes


def _newton_over_budgets(tasks, budgets, device):
    """For each budget yield [(coef, intercept, converged) of each task]."""
    if not budgets:
        return
    xp: Any
    if device == "cpu":
        xp, on_device, options = np, np.asarray, {"dtype": np.float64}
    else:
        import torch as xp

        on_device = functools.partial(xp.as_tensor, device=device)
        # Most devices have next to no float64.
        options = {"dtype": xp.float32, "device": device}
    images = max(task.positive.size for task in tasks)
    x = xp.zeros((len(tasks), images, budgets[-1] + 1), **options)
    x[:, :, 0] = 1  # the intercept
    y = xp.zeros((len(tasks), images), **options)
    weights = xp.zeros_like(y)  # zero on the images that pad the smaller tasks
    for i, task in enumerate(tasks):
        n = task.positive.size
        # Codes travel as they are stored, and are turned and widened where they are used.
        x[i, :n, 1:] = on_device(task.train_kn[: budgets[-1]]).T
        y[i, :n] = on_device(task.positive)
        weights[i, :n] = 1
    parameters = xp.zeros((len(tasks), 1), **options)
    for k in budgets:
        start = xp.zeros((len(tasks), k + 1), **options)
        start[:, : parameters.shape[1]] = parameters
        parameters, converged = newton(xp, x[:, :, : k + 1], y, weights, start)
        rows = parameters if device == "cpu" else parameters.cpu().numpy()
        yield [(row[1:], row[0], bool(ok)) for row, ok in zip(rows, converged, strict=True)]


def newton(
    xp: Any,
    x_bnk: Float[Any, "b n k"],
    y_bn: Float[Any, "b n"],
    weights_bn: Float[Any, "b n"],
    parameters_bk: Float[Any, "b k"],
) -> tuple[Float[Any, "b k"], Bool[Any, " b"]]:
    """Penalised logistic regressions by damped Newton steps, a batch at a time.

    xp: numpy or torch, whose arrays the others are. x_bnk: design matrices whose first column is
    the intercept's (1, not penalised); y_bn: 0 or 1; weights_bn: 0 leaves an image out;
    parameters_bk: where to start. Returns (parameters [b, k], converged bool [b]): converged
    when a Newton step can lower the loss by no more than a fraction of it near the resolution of
    the number type.
    """
    penalty = xp.ones_like(parameters_bk)
    penalty[:, 0] = 0
    diagonal = np.arange(penalty.shape[1])
    resolution = 1e-14 if x_bnk.dtype.itemsize == 8 else 1e-7
    sides = 2 * y_bn - 1

    def loss_and_errors(parameters):
        """The loss, and the probability of the wrong side: small ones, too, are exact."""
        margins = sides * (x_bnk @ parameters[:, :, None])[:, :, 0]
        decay = xp.exp(-abs(margins))
        entropy = xp.log1p(decay) + xp.where(margins > 0, 0 * margins, -margins)
        loss = (weights_bn * entropy).sum(1) + (penalty * parameters**2).sum(1) / 2
        return loss, xp.where(margins > 0, decay, 0 * decay + 1) / (1 + decay)

    parameters = parameters_bk
    loss, wrong = loss_and_errors(parameters)
    for _ in range(_NEWTON_STEPS):
        residual = (-sides * weights_bn * wrong)[:, None]
        gradient = (residual @ x_bnk)[:, 0] + penalty * parameters
        curvature = (weights_bn * wrong * (1 - wrong))[:, :, None]
        hessian = x_bnk.swapaxes(1, 2) @ (x_bnk * curvature)
        # The factor and the constant keep it regular where all images are far from the boundary.
        hessian[:, diagonal, diagonal] *= 1 + resolution
        hessian[:, diagonal, diagonal] += penalty + 1e-30
        step = xp.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        decrement = (gradient * step).sum(1)
        converged = decrement <= resolution * loss
        length = xp.ones_like(loss)
        for _ in range(_HALVINGS):
            trial = parameters - length[:, None] * step
            trial_loss, trial_wrong = loss_and_errors(trial)
            accepted = trial_loss <= loss - 1e-4 * length * decrement + resolution * loss
            if accepted.all():
                break
            length = xp.where(accepted, length, length / 2)
        parameters, loss, wrong = trial, trial_loss, trial_wrong
        if converged.all():  # after the step: it squares what error is left
            break
    return parameters, converged
