"""Classification with all codes of an SAE: the "perf(SAE codes)" of Appendix O.

M6 (`visae.metrics.cross_domain`) has the accuracies of raw features and reconstructions, which
are taken over here, and that of codes cut to 128 features. The lift of codes over raw features
is about the whole code (the paper's lifts above 1 on 200 classes are out of reach of 128
features), so a probe on all F features is fitted here, as M6 fits its own: lbfgs up to 1000
classes, Adam beyond.

With more features than training images the fit happens in the span of these: an L2-penalised
optimum is a combination of training rows, and replacing the n × F codes by the n × n Cholesky
factor of their inner products changes neither penalty nor optimum.
"""

import numpy as np
import scipy.linalg
import scipy.sparse

from visae.downstream.codes import inner_products, read_codes
from visae.downstream.heads import HeadSettings, fit_heads, predictions
from visae.downstream.results import Outcome
from visae.errors import UserError
from visae.images.index import UNLABELLED
from visae.metrics.cross_domain import MAX_ITER
from visae.probes import choose_estimator, fit_probe

IN_MEMORY_VALUES = 2**28
"""Largest matrix that lbfgs is given (1 GiB in float32); beyond, Adam reads codes in blocks."""

ADAM = HeadSettings(epochs=50)

_JITTER = 1e-9
"""Of a row's mean squared norm: keeps equal training images from making the factor singular."""

_BLOCK_IMAGES = 1024


def classify_by_codes(
    codes_train_fn, codes_test_fm, train_labels, test_labels, device="cpu", threads=1, seed=42
):
    """Outcome of a probe on all max-pooled codes [F, n] and [F, m] (arrays or h5py data sets).

    Memory: 8 bytes per active code, and 12·n·min(n, F) bytes for lbfgs; for Adam 16·F·C bytes.
    Raises UserError if fewer than two classes have training images.
    """
    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    classes = np.unique(train_labels)
    features, images = codes_train_fn.shape
    data = {
        "training_images": train_labels.size,
        "test_images": test_labels.size,
        "classes": classes.size,
        "features": features,
    }
    if not test_labels.size:
        return Outcome(None, "the data set has no test images", data=data)
    fits = images * min(images, features) <= IN_MEMORY_VALUES
    if choose_estimator(classes.size) == "lbfgs" and fits:
        codes = read_codes(codes_train_fn), read_codes(codes_test_fm)
        train_nd, test_md = _in_span(*codes, device, threads)
        probe = fit_probe(train_nd, train_labels, "lbfgs", MAX_ITER, device)
        accuracy = probe.accuracy(test_md, test_labels)
        details = {"estimator": probe.estimator, "converged": probe.converged}
    else:
        accuracy = _adam_accuracy(
            codes_train_fn, codes_test_fm, train_labels, test_labels, classes, device, seed
        )
        details = {
            "estimator": (
                f"Adam (lr {ADAM.learning_rate} falling to 0, weight decay {ADAM.weight_decay}, "
                f"{ADAM.epochs} epochs)"
            ),
            "converged": True,
        }
    return Outcome(accuracy, details=details, data=data)


def classify_raw(probe, test_md, test_labels):
    """Outcome of M6's probe of raw features (a `LinearProbe`) on test features [m, D]."""
    data = {"test_images": len(test_labels), "classes": probe.classes.size}
    if not len(test_labels):
        return Outcome(None, "the data set has no test images", data=data)
    details = {"estimator": probe.estimator, "converged": probe.converged}
    return Outcome(probe.accuracy(test_md, test_labels), details=details, data=data)


def reconstructed_from_m6(score, dataset):
    """Outcome of reconstructions on `dataset`, out of an SAE's M6 score (the JSON document)."""
    key = f"{dataset}_accuracy_reconstructed"
    if key not in score["readings"]:
        raise UserError(
            f"the cross_domain score of {score['sae']['name']} on {score['sae']['backbone']} has "
            f"no reading {key}: add {dataset} to metrics.cross_domain.datasets in the config"
        )
    details = {"estimator": score["details"]["estimators"][dataset]["reconstructed"]}
    return Outcome(score["readings"][key], details=details, data=score["data"][dataset])


def _in_span(train_fn, test_fm, device, threads):
    """Float32 rows [n, r], [m, r] with the inner products of the codes; r = min(n, F)."""
    features, images = train_fn.shape
    if features <= images:
        return train_fn.T.toarray(), test_fm.T.toarray()
    products = inner_products(train_fn, train_fn, np.float64, "cpu", threads)
    products[np.diag_indices(images)] += _JITTER * max(np.trace(products) / images, 1.0)
    factor = scipy.linalg.cholesky(products, lower=True, overwrite_a=True, check_finite=False)
    across = inner_products(train_fn, test_fm, np.float64, "cpu", threads)
    test = scipy.linalg.solve_triangular(factor, across, lower=True, overwrite_b=True)
    return factor.astype(np.float32), test.T.astype(np.float32)


class _ImageBlocks:
    """The codes [F, n] of consecutive images as CSR rows, block by block."""

    def __init__(self, codes_fn, targets):
        self._codes_fn = codes_fn
        starts = range(_BLOCK_IMAGES, len(targets), _BLOCK_IMAGES)
        self.labels = np.split(targets, starts)

    def load(self, number):
        """The labelled rows of block `number`."""
        start = number * _BLOCK_IMAGES
        targets = self.labels[number]
        block_fn = np.asarray(self._codes_fn[:, start : start + targets.size])
        return scipy.sparse.csr_matrix(block_fn.T[targets != UNLABELLED].astype(np.float32))


def _adam_accuracy(train_fn, test_fm, train_labels, test_labels, classes, device, seed):
    if classes.size < 2:
        raise UserError(
            f"a probe needs two classes with training images, there are {classes.size}; check the "
            "labels of the data set's index"
        )
    features = train_fn.shape[0]
    train = _ImageBlocks(train_fn, np.searchsorted(classes, train_labels))
    # An image of a class without training images stays, and counts as wrong.
    test = _ImageBlocks(test_fm, test_labels)
    views = {"codes": (features, lambda rows: rows)}
    heads = fit_heads(train, views, classes.size, ADAM, seed, device)
    hits = sum(
        int((classes[predicted["codes"]] == targets).sum())
        for targets, predicted in predictions(test, heads, views, device=device)
    )
    return hits / test_labels.size
