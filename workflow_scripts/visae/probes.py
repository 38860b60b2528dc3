"""Linear probes that choose one of many classes.

Multinomial logistic regression with an L2 penalty (C = 1: sum of losses + ‖W‖²/2, intercepts
free), solved by L-BFGS (scikit-learn on CPU, torch on CUDA), and the Adam probe that the paper
uses on GPUs, here for class counts at which n x C no longer fits. Paper: Table 2, Appendix L.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from visae.errors import UserError
from visae.files import atomic_path

ADAM_ABOVE_CLASSES = 1000
"""More classes than this are probed with Adam (`choose_estimator`)."""

_ROWS = 4096


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier: class with the largest x·coefᵀ + intercept."""

    coef: np.ndarray
    """float32 [C, D]."""
    intercept: np.ndarray
    """float32 [C]."""
    classes: np.ndarray
    """int64 [C], ascending."""
    estimator: str
    """Which solver ran, with its settings."""
    converged: bool
    """False if the solver stopped for another reason than its tolerance (Adam: always True)."""

    def predict(self, x_nd):
        """The classes int64 [n] of the rows of x_nd [n, D]."""
        best_n = np.empty(len(x_nd), dtype=np.int64)
        for start in range(0, len(x_nd), _ROWS):  # never n x C at once
            x = np.asarray(x_nd[start : start + _ROWS], dtype=np.float32)
            best_n[start : start + _ROWS] = np.argmax(x @ self.coef.T + self.intercept, axis=1)
        return self.classes[best_n]

    def accuracy(self, x_nd, labels):
        """Share of the rows of x_nd [n, D] whose class is predicted right."""
        return int((self.predict(x_nd) == labels).sum()) / len(x_nd)


def choose_estimator(n_classes):
    """`lbfgs`, or `adam` where there are more than `ADAM_ABOVE_CLASSES` classes."""
    return "adam" if n_classes > ADAM_ABOVE_CLASSES else "lbfgs"


def fit_probe(x_nd, labels, estimator="lbfgs", max_iter=500, device="cpu", start=None, seed=42):
    """Fit a `LinearProbe` on x_nd [n, D] (float) and int labels [n].

    estimator: `lbfgs` or `adam`. start: a LinearProbe of the same classes whose D features are
    the first of these (nested feature budgets) to start L-BFGS from; changes the time, not the
    optimum. Raises UserError if there is only one class.
    """
    x_nd = np.ascontiguousarray(x_nd, dtype=np.float32)
    classes, targets = np.unique(labels, return_inverse=True)
    if classes.size < 2:
        raise UserError(
            f"a probe needs two classes with training images, there are {classes.size}; check "
            "the labels of the data set's index"
        )
    if estimator == "adam":
        coef, intercept = _adam(x_nd, targets, classes.size, device, seed)
        converged = True
        name = f"Adam (lr {_LEARNING_RATE}, weight decay {_WEIGHT_DECAY}, {EPOCHS} epochs)"
    elif estimator == "lbfgs":
        on_cpu = device == "cpu"
        name = f"{'scikit-learn' if on_cpu else 'torch'} lbfgs (C 1, max_iter {max_iter})"
        tolerance = _tolerance(classes.size)
        rows = None if start is None else _independent_rows(start)
        if on_cpu:
            coef, intercept, converged = sklearn_lbfgs(x_nd, targets, max_iter, tolerance, rows)
        else:
            coef, intercept, converged = torch_lbfgs(
                x_nd, targets, max_iter, tolerance, rows, device
            )
        if classes.size == 2:
            coef, intercept = np.vstack([0 * coef, coef]), np.append(0 * intercept, intercept)
    else:
        raise UserError(f"estimator {estimator!r} is unknown; choose lbfgs or adam")
    return LinearProbe(
        coef=coef.astype(np.float32),
        intercept=intercept.astype(np.float32),
        classes=classes.astype(np.int64),
        estimator=name,
        converged=converged,
    )


def write_probe(path, probe):
    """Write `probe` to an `.npz` file (no pickle)."""
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            coef=probe.coef,
            intercept=probe.intercept,
            classes=probe.classes,
            estimator=probe.estimator,
            converged=probe.converged,
        )


def read_probe(path):
    """Read what `write_probe` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return LinearProbe(
            coef=file["coef"],
            intercept=file["intercept"],
            classes=file["classes"],
            estimator=str(file["estimator"]),
            converged=bool(file["converged"]),
        )


def _tolerance(n_classes):
    """Largest entry of the mean loss's gradient at which L-BFGS stops.

    A class's share of the images bounds its gradient, so scikit-learn's fixed 1e-4 stops far
    from the optimum of a rare class; 1e-4 of the share does not.
    """
    return 1e-4 / n_classes


def sklearn_lbfgs(x_nd, targets, max_iter, tolerance, start=None):
    """scikit-learn's LogisticRegression: (coef, intercept, converged).

    x_nd: float32 [n, D] (measured as fast as or faster than float64 and sparse input up to 10 %
    density), or sparse. start: (coef, intercept) for the first features of x_nd; the others start
    at 0.

    Dense features are centred first. The intercept is free, so the optimum is the same, but
    max-pooled features lie far from 0, and L-BFGS takes three to five times as many iterations
    where all of them pull at the intercept. Where there are more features than images, the
    regression is on as many directions as the images span: the penalty sees only the norm of a
    class's weights, so that the optimum has no part outside of them.
    """
    if not isinstance(x_nd, np.ndarray):
        return _sklearn_fit(x_nd, targets, max_iter, tolerance, start)
    mean = x_nd.mean(axis=0, dtype=np.float64).astype(x_nd.dtype)
    x_nd = x_nd - mean
    if start is not None:
        first, intercept = start
        coef = np.zeros((len(first), x_nd.shape[1]), dtype=x_nd.dtype)
        coef[:, : first.shape[1]] = first
        start = coef, intercept + coef @ mean
    images, features = x_nd.shape
    if images < features and images <= _SPANNED_IMAGES:
        coordinates_nr, combinations_nr = _span(x_nd)
        if start is not None:
            start = start[0] @ (x_nd.T @ combinations_nr), start[1]
        coef, intercept, converged = _sklearn_fit(
            coordinates_nr.astype(x_nd.dtype), targets, max_iter, tolerance, start
        )
        coef = (coef @ combinations_nr.T).astype(x_nd.dtype) @ x_nd
    else:
        coef, intercept, converged = _sklearn_fit(x_nd, targets, max_iter, tolerance, start)
    return coef, intercept - coef @ mean, converged


_SPANNED_IMAGES = 8192
"""Most images whose span is looked for: it takes some n³ operations and 32·n² bytes."""


def _span(x_nd):
    """An orthonormal basis of the rows of x_nd [n, D], n < D: float64 arrays [n, r].

    Returns (the rows' coordinates in it, the combinations of rows that are its vectors).
    """
    import scipy.linalg

    gram = np.zeros((len(x_nd), len(x_nd)))
    for start in range(0, x_nd.shape[1], _ROWS):
        block = x_nd[:, start : start + _ROWS].astype(np.float64)
        gram += block @ block.T
    squares, vectors = scipy.linalg.eigh(gram, overwrite_a=True)
    spanned = squares > 1e-12 * max(squares[-1], np.finfo(np.float64).tiny)
    lengths, vectors = np.sqrt(squares[spanned]), vectors[:, spanned]
    return vectors * lengths, vectors / lengths


def _sklearn_fit(x_nd, targets, max_iter, tolerance, start):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=max_iter, tol=tolerance, warm_start=True)
    if start is not None:
        model.coef_, model.intercept_ = (part.astype(x_nd.dtype) for part in start)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x_nd, targets)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return model.coef_, model.intercept_, converged


def torch_lbfgs(x_nd, targets, max_iter, tolerance, start=None, device="cuda"):
    """The problem of `sklearn_lbfgs`, with the same arguments and results, on `device`.

    Full batch, strong Wolfe line search. Two classes are one logistic regression, as there. The
    products are in float32, all else in float64: near the optimum, float32 does not resolve by how
    much a step lowers the loss, and the line search would stop short of the tolerance.
    """
    import torch

    x = torch.as_tensor(x_nd, device=device)
    mean = x.mean(dim=0)
    x, mean = x - mean, mean.double()
    y = torch.as_tensor(targets, device=device)
    n_classes = int(targets.max()) + 1
    rows = 1 if n_classes == 2 else n_classes
    coef = torch.zeros(rows, x.shape[1], dtype=torch.float64, device=device)
    intercept = torch.zeros(rows, dtype=torch.float64, device=device)
    if start is not None:
        coef[:, : start[0].shape[1]] = torch.as_tensor(start[0])
        intercept[:] = torch.as_tensor(start[1], device=device) + coef @ mean
    coef.requires_grad_()
    intercept.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [coef, intercept],
        max_iter=max_iter,
        max_eval=10 * max_iter,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        logits = (x @ coef.float().T).double() + intercept
        logits = torch.nn.functional.pad(logits, (n_classes - rows, 0))
        loss = torch.nn.functional.cross_entropy(logits, y) + coef.square().sum() / (2 * len(x))
        loss.backward()
        return loss

    optimizer.step(closure)
    # It also stops where a line search no longer gets anywhere, which its count does not tell.
    closure()
    largest = max(float(parameter.grad.abs().max()) for parameter in (coef, intercept))
    converged = largest <= tolerance
    coef, intercept = coef.detach(), (intercept - coef @ mean).detach()
    return coef.cpu().numpy(), intercept.cpu().numpy(), converged


def _independent_rows(probe):
    """(coef, intercept) as the solvers hold them: two classes have one row."""
    if probe.classes.size > 2:
        return probe.coef, probe.intercept
    return probe.coef[1:] - probe.coef[:1], probe.intercept[1:] - probe.intercept[:1]


EPOCHS = 50
_LEARNING_RATE, _WEIGHT_DECAY, _BATCH = 1e-2, 1e-4, 2048


def _adam(x_nd, targets, n_classes, device, seed):
    """The paper's GPU probe (Appendix L), from zero weights; never more than a batch x C."""
    import torch

    x = torch.as_tensor(x_nd, device=device)
    y = torch.as_tensor(targets, device=device)
    layer = torch.nn.Linear(x.shape[1], n_classes, device=device)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(_BATCH):
            rows = rows.to(device)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[rows]), y[rows]).backward()
            optimizer.step()
    return layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()
