"""M4 sparse probing: concept readout from the k best-ranked features.

Paper: section 4.3, Appendix I (one-vs-rest AUC, ranking per class) and Table 2 (accuracy of a
multinomial probe on one global ranking). Its published values (DeiT 0.418) lie below 0.5 and
match the accuracy, so both are computed.
"""

import numpy as np

from visae.auc import average_precision, roc_auc
from visae.binary_probes import BinaryTask, nested_probes
from visae.probes import fit_probe
from visae.rankings import gather_features
from visae.scores import Score

BUDGETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
HEADLINE_BUDGET = 128


def sparse_probing(
    codes_fn, rankings, labels, test_mask, budgets=BUDGETS, device="cpu", processes=1
):
    """Score M4 on the test images.

    codes_fn: [F, N] max-pooled codes, array or h5py data set. rankings: `visae.rankings.Rankings`
    made from the training images. A class is eligible if it has training images and, among the
    test images, positives and negatives. Budgets above F are left out; the headline's is then
    min(128, F).

    Arrays: `classes` [C'], `auc` and `average_precision` float64 [C', budgets], `budgets`.
    """
    labels, test_mask = np.asarray(labels), np.asarray(test_mask)
    ranked = min(codes_fn.shape[0], rankings.per_class.shape[1])
    headline = min(HEADLINE_BUDGET, ranked)
    budgets = sorted({k for k in budgets if k <= ranked} | {headline})
    areas = one_vs_rest(
        gather_split(codes_fn, rankings.per_class[:, : budgets[-1]], test_mask),
        rankings, labels[~test_mask], labels[test_mask], budgets, device, processes,
    )  # fmt: skip
    accuracy, accuracy_converged, estimator = accuracy_curve(
        *gather_split(codes_fn, rankings.overall[None, : budgets[-1]], test_mask)[:2],
        rankings.overall, labels[~test_mask], labels[test_mask], budgets, device,
    )  # fmt: skip
