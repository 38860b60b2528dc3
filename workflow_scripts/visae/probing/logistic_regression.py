"""Logistic regression with an L2 penalty (sum of losses + ‖W‖²/2, intercepts free) by L-BFGS.

`solve` is for one class against another (one row of weights) or any number of classes. On the CPU
SciPy's L-BFGS-B walks over the loss written here; on other devices torch's does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
from threadpoolctl import ThreadpoolController

from visae.base.arrays import Bool, Float, Int

# Most rows of a matrix of squares whose eigenvectors are looked for, for the 32·n² bytes it takes.
_EIGENVECTORS = 8192

_BLOCK = 4096

# Where an iteration lowers the loss by no more than this fraction, float64 resolves no more.
_RESOLUTION = 64 * np.finfo(np.float64).eps


def solve(
    x_nd: Float[Any, "n D"],
    targets: Int[np.ndarray, " n"] | Bool[np.ndarray, " n"],
    max_iter: int,
    tolerance: float,
    start: tuple[Float[np.ndarray, "C d"], Float[np.ndarray, " C"]] | None = None,
    device: str = "cpu",
) -> tuple[Float[np.ndarray, "C D"], Float[np.ndarray, " C"], bool]:
    """Fit the regression: (coef [C, D], intercept [C], converged); for two classes [1, D], [1].

    x_nd: float32 [n, D]; on the CPU also float64, or a sparse matrix. targets: ints 0 … C - 1,
    [n]. tolerance: largest entry of the mean loss's gradient at which the solver stops. start:
    (coef, intercept) for the first features of x_nd; the others start at 0. converged: whether it
    stopped at the tolerance or, on the CPU, where the number type does not resolve the loss any
    more.

    Dense features are centred first. The intercept is free, so the optimum is the same. But
    max-pooled features lie far from 0. L-BFGS takes three to five times as many iterations where
    all of them act on the intercept.
    """
    if device != "cpu":
        return _by_torch(x_nd, targets, max_iter, tolerance, start, device)
    n_classes = int(targets.max()) + 1
    rows = 1 if n_classes == 2 else n_classes
    coef, intercept = np.zeros((rows, x_nd.shape[1])), np.zeros(rows)
    mean = np.zeros(x_nd.shape[1])
    if isinstance(x_nd, np.ndarray):
        mean = x_nd.mean(axis=0, dtype=np.float64)
        x_nd = x_nd - mean.astype(x_nd.dtype)
    if start is not None:
        coef[:, : start[0].shape[1]] = start[0]
        intercept[:] = start[1] + coef @ mean
    basis = _preconditioner(x_nd, rows)
    if rows == 1:
        mean_loss = functools.partial(_binary_loss, targets.astype(bool))
    else:
        mean_loss = functools.partial(_multinomial_loss, targets)
    coef, intercept, converged = _lbfgs(
        basis, mean_loss, basis.to_basis(coef), intercept, max_iter, tolerance
    )
    coef = basis.from_basis(coef)
    return coef.astype(x_nd.dtype), (intercept - coef @ mean).astype(x_nd.dtype), converged


class Preconditioner(NamedTuple):
    """A basis in which L-BFGS converges in fewer steps: orthonormal axes, each with a scale.

    A weight along an axis is the coefficient along it divided by the axis's scale.
    """

    x_nr: np.ndarray
    """[n, r]: the features along the axes, times the scales."""
    scales: np.ndarray | float
    """[r]; 1 if all are the same."""
    intercept_scale: float
    to_basis: Callable[[np.ndarray], np.ndarray]
    """coef [C, D] → weights [C, r]."""
    from_basis: Callable[[np.ndarray], np.ndarray]
    """Weights [C, r] → coef [C, D]."""
    gradient_from_basis: Callable[[np.ndarray], np.ndarray]
    """Gradient [C, r] along the axes (without scales) → gradient [C, D] by the coef."""
    features: int
    """D."""


def _preconditioner(x_nd, rows):
    """Principal axes, scaled so that L-BFGS converges in fewer steps; or the features' own axes.

    With several classes the curvature along the principal axis of variance s is about s / C + 1.
    In units of its root, L-BFGS takes a third to two thirds of the iterations. With two classes it
    takes more, if anything: there all scales are 1, and the basis is used only where the images
    span fewer axes than there are features.
    """
    images, features = x_nd.shape
    smaller, larger = sorted(x_nd.shape)
    # Eigenvectors cost some 10·n³ operations, and save half of some 200 evaluations of 4·n·D·C.
    worth_it = smaller <= _EIGENVECTORS and smaller**2 <= 40 * larger * rows
    several = rows > 1
    if not isinstance(x_nd, np.ndarray) or not worth_it or (not several and images >= features):
        return Preconditioner(x_nd, 1.0, 1.0, np.asarray, np.asarray, np.asarray, features)
    find = _principal_axes if images >= features else _spanned_axes
    squares, x_nr, along, across = find(x_nd)
    scales, intercept_scale = np.ones(len(squares)), 1.0
    if several:
        scales = 1 / np.sqrt(np.maximum(squares, 0) / rows + 1)
        intercept_scale = 1 / np.sqrt(images / rows)
        x_nr *= scales.astype(x_nr.dtype)
    return Preconditioner(
        x_nr,
        scales,
        intercept_scale,
        to_basis=lambda coef: along(coef) / scales,
        from_basis=lambda weights: across(weights * scales),
        gradient_from_basis=across,
        features=features,
    )


def _principal_axes(x_nd):
    """Squared extents [D], coordinates [n, D], functions of coef → along the axes, and back."""
    squares, axes_dr = scipy.linalg.eigh(_gram(x_nd.T), overwrite_a=True)
    x_nr = x_nd @ axes_dr.astype(x_nd.dtype)
    return squares, x_nr, lambda coef: coef @ axes_dr, lambda along: along @ axes_dr.T


def _spanned_axes(x_nd):
    """The same for the r ≤ n axes that the images span.

    The penalty sees only the norm of a class's weights, so that the optimum lies among them.
    """
    squares, vectors_nr = scipy.linalg.eigh(_gram(x_nd), overwrite_a=True)
    spanned = squares > 1e-12 * max(squares[-1], np.finfo(np.float64).tiny)
    extents = np.sqrt(squares[spanned])
    x_nr = (vectors_nr[:, spanned] * extents).astype(x_nd.dtype)
    combinations_nr = vectors_nr[:, spanned] / extents  # an axis as a combination of images

    def along(coef_cd):
        return (x_nd @ coef_cd.T.astype(x_nd.dtype)).T @ combinations_nr

    def across(along_cr):
        return (along_cr @ combinations_nr.T).astype(x_nd.dtype) @ x_nd

    return extents**2, x_nr, along, across


def _gram(x_nd):
    """x · xᵀ in float64 [n, n]."""
    gram = np.zeros((len(x_nd), len(x_nd)))
    for start in range(0, x_nd.shape[1], _BLOCK):
        block = x_nd[:, start : start + _BLOCK].astype(np.float64)
        gram += block @ block.T
    return gram


def _lbfgs(basis, mean_loss, weights_cr, intercept_c, max_iter, tolerance):
    """(weights, intercept, converged) from a start, with SciPy's L-BFGS-B."""
    x_nr, scales, images = basis.x_nr, basis.scales, basis.x_nr.shape[0]
    rows, width = weights_cr.shape
    gradient = np.empty((rows, width + 1))

    def loss_and_gradient(flat):
        parameters = flat.reshape(rows, width + 1)
        weights, intercept = parameters[:, :-1], parameters[:, -1] * basis.intercept_scale
        logits_nc = x_nr @ weights.T.astype(x_nr.dtype)
        logits_nc += intercept.astype(x_nr.dtype)
        loss, grad_logits_nc = mean_loss(logits_nc)
        penalised = weights * scales**2
        gradient[:, :-1] = (x_nr.T @ grad_logits_nc).T
        gradient[:, :-1] += penalised
        gradient[:, -1] = grad_logits_nc.sum(axis=0) * basis.intercept_scale
        np.divide(gradient, images, out=gradient)
        return loss + np.vdot(weights, penalised) / (2 * images), gradient.ravel()

    def is_optimum():
        """Whether no entry of the gradient by the coef or the intercept exceeds the tolerance."""
        if np.abs(gradient[:, -1]).max() > tolerance * basis.intercept_scale:
            return False
        along = gradient[:, :-1] / scales
        # A rotation keeps a row's norm, and the largest of D entries is no less than norm / √D.
        if np.square(along).sum(axis=1).max() > basis.features * tolerance**2:
            return False
        return np.abs(basis.gradient_from_basis(along)).max() <= tolerance

    def stop_at_optimum(intermediate_result):
        if is_optimum():
            raise StopIteration

    start = np.column_stack([weights_cr, intercept_c / basis.intercept_scale])
    loss_and_gradient(start.ravel())
    if is_optimum():
        return weights_cr, intercept_c, True
    with _blas_of_scipy().limit(limits=1):
        result = scipy.optimize.minimize(
            loss_and_gradient,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=stop_at_optimum,
            options={"maxiter": max_iter, "maxls": 50, "gtol": 0, "ftol": _RESOLUTION},
        )
    found = result.x.reshape(rows, width + 1)
    # 99: the callback stopped it.
    return found[:, :-1], found[:, -1] * basis.intercept_scale, result.status in (0, 99)


@functools.cache
def _blas_of_scipy():
    """SciPy's own BLAS, where NumPy has another: a ThreadpoolController of it, else of nothing.

    The wheels bring one each. Each one's threads wait busily for more to do, and as products are
    NumPy's and sums of vectors SciPy's, in turn, two sets of threads would take each other's cores.
    """
    everything = ThreadpoolController()
    own = [blas.filepath for blas in everything.lib_controllers if "scipy.libs" in blas.filepath]
    return everything.select(filepath=own)


def _multinomial_loss(targets, logits_nc):
    """Mean loss, and (in place of the logits) the derivative of the sum by each logit."""
    each = np.arange(len(targets))
    logits_nc -= logits_nc.max(axis=1, keepdims=True)
    own = logits_nc[each, targets].sum(dtype=np.float64)
    np.exp(logits_nc, out=logits_nc)
    sums = logits_nc.sum(axis=1, keepdims=True)
    loss = (np.log(sums).sum(dtype=np.float64) - own) / len(targets)
    logits_nc /= sums
    logits_nc[each, targets] -= 1
    return loss, logits_nc


def _binary_loss(positive, logits_n1):
    """The same for the logit of the second class against the first."""
    logits = logits_n1[:, 0]
    decay = np.exp(-np.abs(logits))
    loss = np.log1p(decay) + np.maximum(logits, 0) - positive * logits
    probability = np.where(logits > 0, 1, decay) / (1 + decay)
    return loss.mean(dtype=np.float64), (probability - positive).astype(logits.dtype)[:, None]


def _by_torch(x_nd, targets, max_iter, tolerance, start, device):
    """`solve` on `device`.

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
    gradients = [parameter.grad for parameter in (coef, intercept) if parameter.grad is not None]
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    converged = largest <= tolerance
    coef, intercept = coef.detach(), (intercept - coef @ mean).detach()
    return coef.cpu().numpy(), intercept.cpu().numpy(), converged
