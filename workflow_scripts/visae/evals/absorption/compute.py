"""M7 absorption: class distinctions that need several features where one should do.

Paper: section 4.4, Table 2, and Table 7 (threshold sweep).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visae.base.arrays import Bool, Float, Int
from visae.base.pools import workers_on
from visae.evals.absorption.entry import ALPHAS, BETAS
from visae.evals.results import Result
from visae.probing.one_vs_rest import BinaryTask, nested_probes
from visae.probing.rankings import Rankings, gather_ranked
from visae.probing.siblings import SiblingGroup

MAX_ITER = 500

AS_RUN_GAIN, AS_RUN_IMAGES, AS_RUN_SIDE = 0.1, 10, 3
"""Of the reading `as_run`: gain in F1, least images of a group, and of either side of a task."""


def compute(inputs, settings, job):
    """M7 of an SAE."""
    encoded = inputs.encoded()
    return absorption(
        encoded.codes,
        inputs.rankings(),
        inputs.sibling_groups(),
        encoded.labels,
        inputs.held_out(),
        settings["alpha"],
        settings["beta"],
        job.device,
        job.threads,
    )


def absorption(
    codes_fn: Any,
    rankings: Rankings,
    sibling_groups: Sequence[SiblingGroup],
    labels: Int[np.ndarray, " N"],
    test_mask: Bool[np.ndarray, " N"],
    alpha: float = 0.8,
    beta: float = 0.5,
    device: str = "cpu",
    processes: int = 1,
) -> Result:
    """M7: F1 of one- and four-feature probes on the held-out images of sibling groups.

    codes_fn: [F, N] max-pooled codes, array or in an open file. rankings: the `Rankings`
    made with `sibling_groups`. A task (class against its siblings) is eligible if both sides
    have training images and test images.

    Arrays, one row per eligible task: `class` and `group` int64, `f1_one`, `f1_four` float64,
    and `features` int32 [T, 4].
    """
    budgets = sorted({1, min(4, rankings.siblings.shape[1])})
    members = [np.isin(labels, group.labels) for group in sibling_groups]
    eligible = [
        row
        for row, (label, group) in enumerate(rankings.sibling_tasks)
        if 0 < np.count_nonzero(labels[members[group] & test_mask] == label)
        < np.count_nonzero(members[group] & test_mask)
    ]  # fmt: skip
    gathered = gather_ranked(codes_fn, rankings.siblings)
    tasks = (
        _task(
            gathered.rows(rankings.siblings[row]),
            labels == rankings.sibling_tasks[row, 0],
            members[rankings.sibling_tasks[row, 1]] & ~test_mask,
            members[rankings.sibling_tasks[row, 1]] & test_mask,
        )
        for row in eligible
    )
    f1 = np.empty((len(eligible), len(budgets)))
    not_converged = 0
    with workers_on(device, processes=processes) as workers:
        results = nested_probes(tasks, budgets, MAX_ITER, device, workers, len(eligible))
        for i, (scores, thresholds, converged) in enumerate(results):
            label, group = rankings.sibling_tasks[eligible[i]]
            positive = labels[members[group] & test_mask] == label
            f1[i] = [f1_score(positive, predicted) for predicted in scores > thresholds[:, None]]
            not_converged += int((~converged).sum())
        gains = _in_sample(codes_fn, rankings, labels, members, budgets, device, workers)
    one, four = f1[:, 0], f1[:, -1]
    value = absorbed_share(one, four, alpha, beta)
    tasks_defined = sum(len(group.labels) for group in sibling_groups)
    reason = None
    if not sibling_groups:
        reason = "the data set has no sibling group: no three classes share a parent"
    elif not eligible:
        reason = (
            f"none of the {tasks_defined} class-against-siblings tasks has training and test "
            "images on both sides"
        )
    return Result(
        value=value,
        reason=reason,
        readings={
            "mean_f1_one": float(one.mean()) if one.size else None,
            "mean_f1_four": float(four.mean()) if four.size else None,
            **{
                f"absorbed_alpha_{a}_beta_{b}": absorbed_share(one, four, a, b)
                for a in ALPHAS
                for b in BETAS
            },
            "as_run": float(np.mean(gains[:, -1] - gains[:, 0] > AS_RUN_GAIN))
            if len(gains)
            else None,
            "as_run_mean_f1_one": float(gains[:, 0].mean()) if len(gains) else None,
            "as_run_mean_f1_four": float(gains[:, -1].mean()) if len(gains) else None,
        },
        details={
            "alpha": alpha,
            "beta": beta,
            "budgets": budgets,
            "most_features": budgets[-1],
            "not_converged": not_converged,
        },
        data={
            "groups": len(sibling_groups),
            "tasks": tasks_defined,
            "eligible_tasks": len(eligible),
            "fits": f1.size,
            "as_run_tasks": len(gains),
        },
        arrays={
            "class": rankings.sibling_tasks[eligible, 0],
            "group": rankings.sibling_tasks[eligible, 1],
            "f1_one": one,
            "f1_four": four,
            "features": rankings.siblings[eligible],
        },
    )


def _in_sample(codes_fn, rankings, labels, members, budgets, device, workers):
    """F1 [T', K] of probes on the images on which they were fitted and features ranked.

    members: bool [N] of each sibling group. Tasks are left out where the group or a side of them
    is too small (`AS_RUN_IMAGES`, `AS_RUN_SIDE`).
    """
    chosen = []
    for row, (label, group) in enumerate(rankings.sibling_tasks_all_images):
        positive, images = np.count_nonzero(labels == label), np.count_nonzero(members[group])
        if images >= AS_RUN_IMAGES and AS_RUN_SIDE <= positive <= images - AS_RUN_SIDE:
            chosen.append(row)
    gathered = gather_ranked(codes_fn, rankings.siblings_all_images[chosen])
    f1 = np.empty((len(chosen), len(budgets)))
    tasks = (
        _task(
            gathered.rows(rankings.siblings_all_images[row]),
            labels == rankings.sibling_tasks_all_images[row, 0],
            *2 * [members[rankings.sibling_tasks_all_images[row, 1]]],
        )
        for row in chosen
    )
    results = nested_probes(tasks, budgets, MAX_ITER, device, workers, len(chosen))
    for i, (scores, thresholds, _) in enumerate(results):
        label, group = rankings.sibling_tasks_all_images[chosen[i]]
        positive = labels[members[group]] == label
        f1[i] = [f1_score(positive, predicted) for predicted in scores > thresholds[:, None]]
    return f1


def absorbed_share(
    f1_one: Float[np.ndarray, " T"], f1_four: Float[np.ndarray, " T"], alpha: float, beta: float
) -> float | None:
    """Share of tasks with F1(1) < alpha and F1(4) > beta, both float [T]; None without tasks."""
    if not len(f1_one):
        return None
    return float(np.mean((f1_one < alpha) & (f1_four > beta)))


def f1_score(positive: Bool[np.ndarray, " n"], predicted: Bool[np.ndarray, " n"]) -> float:
    """F1 of the positive class, bool [n] each; 0 where nothing is predicted positive."""
    hits = np.count_nonzero(positive & predicted)
    return 2 * hits / (np.count_nonzero(positive) + np.count_nonzero(predicted))


def _task(codes_kn, positive_n, train, test):
    return BinaryTask(codes_kn[:, train], positive_n[train], codes_kn[:, test])
