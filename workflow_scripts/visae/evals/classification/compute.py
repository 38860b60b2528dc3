"""Classification with all codes of an SAE: the "perf(SAE codes)" of Appendix O.

M6 (`evals.cross_domain.compute`) has the accuracies of raw features and reconstructions, which
are taken over here, and that of codes cut to 128 features. The lift of codes over raw features is
about the whole code: the paper's lifts above 1 on 200 classes are out of reach of 128 features.
So a probe on all F features is fitted here, as M6 fits its own: lbfgs up to 1000 classes, Adam
beyond.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from visae.base.arrays import Float, Int
from visae.base.errors import UserError
from visae.evals.results import Result
from visae.evals.segmentation.heads import HeadSettings, fit_heads, predictions
from visae.evals.sparse_codes import read_codes
from visae.probing.limits import DOMAIN_MAX_ITER
from visae.probing.logistic_regression import solve
from visae.probing.multinomial import LinearProbe, choose_estimator, lbfgs_name

ADAM = HeadSettings(epochs=50)

MOST_CLASSES = 1000
"""Largest number of classes on which all codes are probed: beyond, F·C weights per SAE cost more
than the rest of the study."""

DENSE_BYTES = 2**31
"""Codes for L-BFGS that would take more memory stay sparse. Dense ones take fewer iterations: they
can be centred, and fitted along better axes (`visae.probing.logistic_regression`)."""

_BLOCK_IMAGES = 1024


def compute(inputs, settings, job):
    """Results of raw features, or of an SAE's reconstructions and codes, on the eval's data set."""
    dataset = inputs.dataset
    train_split, test_split = inputs.data.cross_domain[dataset]
    if inputs.of_raw:
        labels = inputs.raw(test_split).labels
        probe = inputs.raw_probe(dataset)
        return {"raw": classify_raw(probe, inputs.features_max(test_split), labels)}
    train, test = inputs.encoded(train_split), inputs.encoded(test_split)
    return {
        "reconstructed": reconstructed_from_m6(inputs.result("cross_domain"), dataset),
        "codes": _codes(train, test, job),
    }


def _codes(train, test, job):
    classes = len(set(train.labels.tolist()))
    if classes > MOST_CLASSES:
        reason = f"all codes are probed on up to {MOST_CLASSES} classes, here are {classes}"
        return Result(None, reason)
    arrays = train.codes, test.codes, train.labels, test.labels
    return classify_by_codes(*arrays, job.device, job.seed)


def classify_by_codes(
    codes_train_fn: Any,
    codes_test_fm: Any,
    train_labels: Int[np.ndarray, " n"],
    test_labels: Int[np.ndarray, " m"],
    device: str = "cpu",
    seed: int = 42,
) -> Result:
    """Result of a probe on all max-pooled codes [F, n] and [F, m] (arrays or in open files).

    Memory for lbfgs: 8·n·F bytes, or beyond `DENSE_BYTES` 8 bytes per active code (on CUDA 4·n·F
    bytes), and some 300·min(n, F)·C bytes, most of them its history in float64; for Adam 16·F·C
    bytes.
    Raises UserError if fewer than two classes have training images.
    """
    classes, targets = np.unique(train_labels, return_inverse=True)
    data = {
        "training_images": train_labels.size,
        "test_images": test_labels.size,
        "classes": classes.size,
        "features": codes_train_fn.shape[0],
    }
    if not test_labels.size:
        return Result(None, "the data set has no test images", data=data)
    if classes.size < 2:
        raise UserError(
            f"a probe needs two classes with training images, there are {classes.size}; check the "
            "labels of the data set's index"
        )
    fit = _lbfgs if choose_estimator(classes.size) == "lbfgs" else _adam
    predicted, details = fit(codes_train_fn, codes_test_fm, targets, classes.size, device, seed)
    accuracy = float(np.mean(classes[predicted] == test_labels))
    return Result(accuracy, details=details, data=data)


def classify_raw(
    probe: LinearProbe, test_md: Float[np.ndarray, "m D"], test_labels: Int[np.ndarray, " m"]
) -> Result:
    """Result of M6's probe of raw features (a `LinearProbe`) on test features [m, D]."""
    data = {"test_images": len(test_labels), "classes": probe.classes.size}
    if not len(test_labels):
        return Result(None, "the data set has no test images", data=data)
    details = {"estimator": probe.estimator, "converged": probe.converged}
    return Result(probe.accuracy(test_md, test_labels), details=details, data=data)


def reconstructed_from_m6(score, dataset):
    """Result of reconstructions on `dataset`, out of an SAE's M6 score (the JSON document)."""
    key = f"{dataset}_accuracy_reconstructed"
    if key not in score["readings"]:
        raise UserError(
            f"the cross_domain score of {score['sae']['name']} on {score['sae']['backbone']} has "
            f"no reading {key}: add {dataset} to metrics.cross_domain.datasets in the config"
        )
    details = {"estimator": score["details"]["estimators"][dataset]["reconstructed"]}
    return Result(score["readings"][key], details=details, data=score["data"][dataset])


def _lbfgs(train_fn, test_fm, targets, classes, device, seed):
    """(predicted class number [m], details) of the regression that `probing.multinomial` fits."""
    rows_nf = read_codes(train_fn).T.tocsr()
    if device != "cpu" or 4 * np.prod(rows_nf.shape) <= DENSE_BYTES:
        rows_nf = rows_nf.toarray()
    coef, intercept, converged = solve(rows_nf, targets, DOMAIN_MAX_ITER, device=device)
    logits_mc = read_codes(test_fm).T @ coef.T + intercept
    if classes == 2:  # one regression of the second class against the first
        logits_mc = np.hstack([np.zeros_like(logits_mc), logits_mc])
    details = {"estimator": lbfgs_name(DOMAIN_MAX_ITER, device), "converged": converged}
    return logits_mc.argmax(axis=1), details


def _adam(train_fn, test_fm, targets, classes, device, seed):
    """As `_lbfgs`, from codes that are read a block of images at a time."""
    views = {"codes": (train_fn.shape[0], lambda rows: rows)}
    heads = fit_heads(_ImageBlocks(train_fn, targets), views, classes, ADAM, seed, device)
    test = _ImageBlocks(test_fm, np.zeros(test_fm.shape[1], np.int64))
    found = [predicted["codes"] for _, predicted in predictions(test, heads, views, device=device)]
    name = f"Adam (lr {ADAM.learning_rate} falling to 0, weight decay {ADAM.weight_decay}, "
    details = {"estimator": f"{name}{ADAM.epochs} epochs)", "converged": True}
    return np.concatenate(found), details


class _ImageBlocks:
    """The codes [F, n] of consecutive images as CSR rows, block by block (see `fit_heads`)."""

    def __init__(self, codes_fn, targets):
        self._codes_fn = codes_fn
        self.labels = np.split(targets, range(_BLOCK_IMAGES, len(targets), _BLOCK_IMAGES))

    def load(self, number):
        """The rows of block `number`."""
        start, targets = number * _BLOCK_IMAGES, self.labels[number]
        block_fn = self._codes_fn[:, start : start + targets.size]
        return scipy.sparse.csr_matrix(block_fn.T.astype(np.float32))
