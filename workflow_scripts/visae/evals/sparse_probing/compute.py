"""M4 sparse probing: concept readout from the k best-ranked features.

Paper: section 4.3, Appendix I (one-vs-rest AUC, ranking per class) and Table 2 (accuracy of a
multinomial probe on one global ranking). Its published values (DeiT 0.418) lie below 0.5 and
match the accuracy, so both are computed.
"""

from dataclasses import dataclass

import numpy as np

from visae.base.pools import Workers
from visae.evals.results import Result
from visae.evals.sparse_probing.entry import BUDGETS, HEADLINE_BUDGET, MAX_ITER
from visae.probing.auc import average_precision, roc_auc
from visae.probing.multinomial import fit_probe
from visae.probing.one_vs_rest import BinaryTask, nested_probes
from visae.probing.rankings import gather_ranked


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
    codes_fn, rankings, labels, test_mask, budgets=BUDGETS, device="cpu", processes=1
):
    """M4 on the test images.

    codes_fn: [F, N] max-pooled codes, array or h5py data set. rankings: `probing.rankings.Rankings`
    of the training images. labels: int [N]; test_mask: bool [N]. A class is eligible if it has
    training images and, among the test images, positives and negatives. Budgets above the number
    of ranked features are left out; the headline's is then that number.

    Arrays: `classes` int64 [C'], `budgets` int64 [K], `auc`, `average_precision` float64 [C', K].
    """
    labels, test_mask = np.asarray(labels), np.asarray(test_mask)
    ranked = rankings.per_class.shape[1]
    headline = min(HEADLINE_BUDGET, ranked)
    budgets = sorted({k for k in budgets if k <= ranked} | {headline})
    best = rankings.overall[: budgets[-1]]
    gathered = gather_ranked(codes_fn, rankings.per_class[:, : budgets[-1]], best)
    codes = gathered.of_images(~test_mask), gathered.of_images(test_mask)
    del gathered  # as large as both
    images = labels[~test_mask], labels[test_mask]
    with Workers(processes if device == "cpu" else 1) as workers:
        # First, because it is the longest single job.
        curve = workers.submit(
            accuracy_curve, *(part.rows(best) for part in codes), *images, budgets, device
        )
        areas = class_areas(
            *codes, rankings, eligible_rows(rankings, images[1]), *images, budgets, device, workers
        )
        curve = curve.result()
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
        },
        details={
            "budgets": budgets,
            "headline_budget": headline,
            "estimator": curve.estimator,
            "not_converged": {
                "one_vs_rest": areas.not_converged,
                "multinomial": curve.not_converged,
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


@dataclass(frozen=True)
class ClassAreas:
    """One-vs-rest readout of the eligible classes."""

    classes: np.ndarray
    """int64 [C']."""
    auc: np.ndarray
    """float64 [C', K]."""
    average_precision: np.ndarray
    """float64 [C', K]."""
    not_converged: int
    """Fits, of C' x K."""
    reason: str | None
    """Why there is no eligible class, if so."""

    @property
    def mean_auc(self):
        """Mean over classes per budget; None without classes."""
        return _means(self.auc)

    @property
    def mean_average_precision(self):
        """Mean over classes per budget; None without classes."""
        return _means(self.average_precision)


def eligible_rows(rankings, test_labels):
    """Rows of `rankings.per_class` of the classes with positives and negatives to be tested on."""
    tested, positives = np.unique(test_labels, return_counts=True)
    return np.flatnonzero(np.isin(rankings.classes, tested[positives < test_labels.size]))


def class_areas(
    train, test, rankings, rows, train_labels, test_labels, budgets, device="cpu", workers=None
):
    """ROC-AUC and average precision of one-vs-rest probes for each class and budget.

    train, test: `probing.rankings.GatheredCodes` of the training and of the test images, with the
    features of `rankings.per_class` in `rows` (some of `eligible_rows`).
    """
    classes = rankings.classes[rows]
    tasks = (
        BinaryTask(train.rows(features), train_labels == label, test.rows(features))
        for features, label in zip(rankings.per_class[rows, : budgets[-1]], classes, strict=True)
    )
    shape = classes.size, len(budgets)
    auc, precision = np.empty(shape), np.empty(shape)
    not_converged = 0
    results = nested_probes(tasks, budgets, MAX_ITER, device, workers)
    for i, (scores, converged) in enumerate(results):
        positive = test_labels == classes[i]
        auc[i] = roc_auc(scores, positive)
        precision[i] = average_precision(scores, positive)
        not_converged += int((~converged).sum())
    return ClassAreas(
        classes=classes,
        auc=auc,
        average_precision=precision,
        not_converged=not_converged,
        reason=None
        if classes.size
        else f"none of the {rankings.classes.size} classes with training images has positive and "
        f"negative examples among the {test_labels.size} test images",
    )


def _means(values_ck):
    return values_ck.mean(axis=0).tolist() if len(values_ck) else [None] * values_ck.shape[1]


@dataclass(frozen=True)
class AccuracyCurve:
    """Top-1 accuracy of multinomial probes over nested budgets."""

    accuracy: list
    """float per budget; None without test images."""
    not_converged: int
    estimator: str | None


def accuracy_curve(
    train_kn, test_km, train_labels, test_labels, budgets, device="cpu", estimator="lbfgs"
):
    """Fit one multinomial probe per budget, each started from the one before.

    train_kn [k, n], test_km [k, m]: the best features of the global ranking in order.
    """
    if not test_labels.size:
        return AccuracyCurve([None] * len(budgets), 0, None)
    train, test = (part.T.astype(np.float32, order="C") for part in (train_kn, test_km))
    probe, accuracy, not_converged = None, [], 0
    for k in budgets:
        probe = fit_probe(train[:, :k], train_labels, estimator, MAX_ITER, device, probe)
        accuracy.append(probe.accuracy(test[:, :k], test_labels))
        not_converged += not probe.converged
    return AccuracyCurve(accuracy, not_converged, probe.estimator)


def area_over_log_budget(budgets, accuracy):
    """Area under accuracy against log2 k (trapezoids) / the range of log2 k: a mean accuracy.

    None with a single budget or without accuracies.
    """
    if len(budgets) < 2 or None in accuracy:
        return None
    log_budgets = np.log2(budgets)
    return float(np.trapezoid(accuracy, log_budgets) / (log_budgets[-1] - log_budgets[0]))
