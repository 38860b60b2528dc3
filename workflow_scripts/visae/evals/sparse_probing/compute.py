"""M4 sparse probing: concept readout from the k best-ranked features.

Paper: section 4.3, Appendix I (one-vs-rest AUC, ranking per class) and Table 2 (accuracy of a
multinomial probe on one global ranking). Its published values (DeiT 0.418) lie below 0.5; in its
public code the score is an area under the accuracy over budgets: the reading `as_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visae.base.arrays import Bool, Int
from visae.base.pools import workers_on
from visae.evals.results import Result
from visae.evals.sparse_probing.areas import area_over_budget, area_over_log_budget
from visae.evals.sparse_probing.entry import BUDGETS, HEADLINE_BUDGET
from visae.probing.rankings import Rankings, gather_ranked
from visae.probing.readout import accuracy_curve, class_areas, eligible_rows


def compute(inputs, settings, job):
    """M4 of an SAE."""
    encoded = inputs.encoded()
    return sparse_probing(
        encoded.codes,
        inputs.rankings(),
        encoded.labels,
        inputs.held_out(),
        settings["budgets"],
        job.device,
        job.threads,
    )


def sparse_probing(
    codes_fn: Any,
    rankings: Rankings,
    labels: Int[np.ndarray, " N"],
    test_mask: Bool[np.ndarray, " N"],
    budgets: Sequence[int] = BUDGETS,
    device: str = "cpu",
    processes: int = 1,
) -> Result:
    """M4 on the test images.

    codes_fn: [F, N] max-pooled codes, array or in an open file. rankings: the `Rankings`
    of the training images. labels: int [N]; test_mask: bool [N]. A class is eligible if it has
    training images and, among the test images, positives and negatives. Budgets above the number
    of ranked features are left out; the headline's is then that number.

    Arrays: `classes` int64 [C'], `budgets` int64 [K], `auc`, `average_precision` float64 [C', K].
    """
    ranked = rankings.per_class.shape[1]
    headline = min(HEADLINE_BUDGET, ranked)
    budgets = sorted({k for k in budgets if k <= ranked} | {headline})
    best = rankings.overall[: budgets[-1]]
    best_of_all = rankings.overall_all_images[: budgets[-1]]
    gathered = gather_ranked(codes_fn, rankings.per_class[:, : budgets[-1]], best, best_of_all)
    codes = gathered.of_images(~test_mask), gathered.of_images(test_mask)
    del gathered  # as large as both
    images = labels[~test_mask], labels[test_mask]
    with workers_on(device, processes=processes) as workers:
        # First, because they are the longest single jobs.
        curve, as_run = (
            workers.submit(
                accuracy_curve, *(part.rows(features) for part in codes), *images, budgets, device
            )
            for features in (best, best_of_all)
        )
        areas = class_areas(
            *codes, rankings, eligible_rows(rankings, images[1]), *images, budgets, device, workers
        )
        curve, as_run = curve.result(), as_run.result()
    at_headline = budgets.index(headline)
    value = areas.mean_auc[at_headline]
    return Result(
        value=value,
        reason=None if value is not None else areas.reason,
        readings={
            **{f"auc_at_{k}": auc for k, auc in zip(budgets, areas.mean_auc, strict=True)},
            **{
                f"average_precision_at_{k}": precision
                for k, precision in zip(budgets, areas.mean_average_precision, strict=True)
            },
            **{f"accuracy_at_{k}": a for k, a in zip(budgets, curve.accuracy, strict=True)},
            "accuracy_area": area_over_log_budget(budgets, curve.accuracy),
            **{
                f"as_run_accuracy_at_{k}": accuracy
                for k, accuracy in zip(budgets, as_run.accuracy, strict=True)
            },
            "as_run": area_over_budget(budgets, as_run.accuracy),
        },
        details={
            "budgets": budgets,
            "headline_budget": headline,
            "estimator": curve.estimator,
            "not_converged": {
                "one_vs_rest": areas.not_converged,
                "multinomial": curve.not_converged,
                "as_run": as_run.not_converged,
            },
        },
        data={
            "classes": int(np.unique(labels).size),
            "eligible_classes": areas.classes.size,
            "training_images": int((~test_mask).sum()),
            "test_images": int(test_mask.sum()),
            "one_vs_rest_fits": areas.classes.size * len(budgets),
            "multinomial_fits": len(curve.accuracy) - curve.accuracy.count(None),
        },
        arrays={
            "classes": areas.classes,
            "budgets": np.array(budgets),
            "auc": areas.auc,
            "average_precision": areas.average_precision,
        },
    )
