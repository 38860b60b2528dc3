"""What the tests of several metrics share."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from visae.probing import logistic_regression

SAE = {
    "backbone": "clip",
    "layer": 11,
    "name": "batchtopk_16x_k128",
    "family": "batchtopk",
    "expansion_factor": 16,
    "sparsity": 128,
    "k": 128,
    "sweep": "main",
    "warnings": [],
}


def make_codes(features, labels, signal, seed=0):
    """Sparse float16 codes [features, N]; three features per class fire more on its images."""
    random = np.random.default_rng(seed)
    shape = features, labels.size
    codes_fn = random.gamma(1.0, 1.0, shape) * (random.random(shape) < 0.2)
    for label in np.unique(labels):
        mine = random.choice(features, 3, replace=False)
        fires = (labels == label) & (random.random((3, labels.size)) < 0.6)
        codes_fn[mine] += signal * fires
    return codes_fn.astype(np.float16)


def tight_probe(x, y):
    """The L2-penalised logistic regression (C = 1) to a tight tolerance, in float64."""
    return LogisticRegression(C=1.0, max_iter=10_000, tol=1e-10).fit(x.astype(np.float64), y)


def by_torch(x_nd, targets, max_iter, start=None, *, device):
    """What `solve` does on CUDA, on the CPU."""
    return logistic_regression._by_torch(x_nd, targets, max_iter, start, "cpu")
