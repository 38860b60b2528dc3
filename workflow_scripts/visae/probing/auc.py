"""Area under the ROC curve and average precision of many score vectors, in NumPy.

Both follow scikit-learn's definitions for ties: midranks for the ROC area (argsort of argsort
is wrong there), one operating point per distinct score for average precision.
"""

from __future__ import annotations

import numpy as np

from visae.base.arrays import Bool, Float, Num


def roc_auc(
    scores_mn: Num[np.ndarray, "*m n"], positive_n: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " m"] | float:
    """ROC-AUC of each row of scores: float64 [m] (a float for one row [n]).

    scores_mn: [m, n] or [n]; positive_n: bool [n] with both values present.
    """
    return _for_each_row(_roc_auc, scores_mn, positive_n)


def average_precision(
    scores_mn: Num[np.ndarray, "*m n"], positive_n: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " m"] | float:
    """Average precision Σ (R_i − R_{i−1}) P_i of each row: float64 [m] (a float for [n])."""
    return _for_each_row(_average_precision, scores_mn, positive_n)


def _for_each_row(measure, scores_mn, positive_n):
    scores_mn, positive_n = np.asarray(scores_mn), np.asarray(positive_n, dtype=bool)
    if not positive_n.any() or positive_n.all():
        raise ValueError("an area needs positive and negative examples")
    if scores_mn.ndim == 1:
        return measure(scores_mn, positive_n)
    return np.array([measure(scores_n, positive_n) for scores_n in scores_mn])


def _roc_auc(scores_n, positive_n):
    # Mann-Whitney: a positive counts the negatives below it and half of those equal to it.
    negative = np.sort(scores_n[~positive_n])
    positive = scores_n[positive_n]
    below = np.searchsorted(negative, positive, side="left").sum()
    not_above = np.searchsorted(negative, positive, side="right").sum()
    return float((below + not_above) / 2 / (positive.size * negative.size))


def _average_precision(scores_n, positive_n):
    order = np.argsort(-scores_n, kind="stable")
    descending = scores_n[order]
    last_of_tie = np.append(descending[1:] != descending[:-1], True)
    taken = np.flatnonzero(last_of_tie) + 1
    hits = np.cumsum(positive_n[order])[last_of_tie]
    return float(np.sum(np.diff(hits, prepend=0) * (hits / taken)) / hits[-1])
