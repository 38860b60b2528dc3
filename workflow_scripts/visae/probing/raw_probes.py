"""The probes of a backbone's own features, which all of its SAEs are held against (M3, M6).

Fitted once per backbone and data set, and kept by `multinomial.write_probe`.
"""

import numpy as np

from visae.probing.limits import DOMAIN_MAX_ITER, MAX_ITER
from visae.probing.multinomial import choose_estimator, fit_probe


def fit_raw_probe(raw_nd, labels, test_mask, device="cpu"):
    """The multinomial probe of the evaluation data set's training images.

    raw_nd: float [N, D], max over patches. labels: int [N]. test_mask: bool [N].
    """
    train_mask = ~np.asarray(test_mask)
    return fit_probe(raw_nd[train_mask], labels[train_mask], max_iter=MAX_ITER, device=device)


def fit_domain_probe(x_nd, labels, device="cpu"):
    """A probe of features [n, D] on a data set of M6, raw or reconstructed."""
    estimator = choose_estimator(np.unique(labels).size)
    return fit_probe(x_nd, labels, estimator, DOMAIN_MAX_ITER, device)
