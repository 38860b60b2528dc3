"""Reading classes out of the best-ranked features: one-vs-rest areas and multinomial accuracy.

What M4 does on the evaluation data set and M6 on others. Paper: section 4.3, Appendix I.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from visae.probing.auc import average_precision, roc_auc
from visae.probing.limits import READOUT_MAX_ITER
from visae.probing.multinomial import fit_probe
from visae.probing.one_vs_rest import BinaryTask, nested_probes


@dataclass(frozen=True)
class ClassAreas:
    """One-vs-rest readout of the eligible classes."""

    classes: np.ndarray
    """int64 [C']."""
    auc: np.ndarray
    """float64 [C', K]."""
    average_precision: np.ndarray
    """float64 [C', K]."""
    pairs: np.ndarray
    """int64 [C'], of a positive and a negative test image each."""
    not_converged: int
    """Fits, of C' x K."""
    reason: str | None
    """Why there is no eligible class, if so."""

    @property
    def mean_auc(self):
        """Mean over classes per budget; None without classes.

        An area is a number of pairs, halves for ties, in all pairs. The mean of these fractions is
        rounded once, so that what is equal on paper is equal here.
        """
        if not len(self.auc):
            return [None] * self.auc.shape[1]
        halves_ck = np.rint(self.auc * (2 * self.pairs[:, None])).astype(np.int64)
        sums = [
            sum(Fraction(int(halves_c[self.pairs == p].sum()), 2 * int(p)) for p in {*self.pairs})
            for halves_c in halves_ck.T
        ]
        return [float(total / len(self.pairs)) for total in sums]

    @property
    def mean_average_precision(self):
        """Mean over classes per budget, whatever their order; None without classes."""
        if not len(self.average_precision):
            return [None] * self.average_precision.shape[1]
        return [math.fsum(column) / len(column) for column in self.average_precision.T]


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
    pairs = np.empty(classes.size, np.int64)
    not_converged = 0
    results = nested_probes(tasks, budgets, READOUT_MAX_ITER, device, workers, classes.size)
    for i, readout in enumerate(results):
        positive = test_labels == classes[i]
        pairs[i] = np.count_nonzero(positive) * np.count_nonzero(~positive)
        auc[i] = roc_auc(readout.scores, positive)
        precision[i] = average_precision(readout.scores, positive)
        not_converged += int((~readout.converged).sum())
    return ClassAreas(
        classes=classes,
        auc=auc,
        average_precision=precision,
        pairs=pairs,
        not_converged=not_converged,
        reason=None
        if classes.size
        else f"none of the {rankings.classes.size} classes with training images has positive and "
        f"negative examples among the {test_labels.size} test images",
    )


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
        probe = fit_probe(train[:, :k], train_labels, estimator, READOUT_MAX_ITER, device, probe)
        accuracy.append(probe.accuracy(test[:, :k], test_labels))
        not_converged += not probe.converged
    return AccuracyCurve(accuracy, not_converged, probe.estimator if probe else None)
