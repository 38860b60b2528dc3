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
from visae.base.progress import Count

TOLERANCE = 5e-4
"""Relative error of the weights, as curvature estimates it, at which L-BFGS stops. Nothing in it
depends on the unit of the features: a bound of the gradient would."""

# Most rows of a matrix of squares whose eigenvectors are looked for, for the 32·n² bytes it takes.
_EIGENVECTORS = 8192

_BLOCK = 4096

# torch's L-BFGS takes no note of curvature below 1e-10, which separable classes go far below.
_MAGNIFIED = 2.0**60

# Logits below this need more exact intercepts than the loss resolves; these take few balancings.
_SMALL = 1.0
_BALANCINGS = 30

# Where an iteration lowers the loss by no more than this fraction, float64 resolves no more.
_RESOLUTION = 64 * np.finfo(np.float64).eps


def solve(
    x_nd: Float[Any, "n D"],
    targets: Int[np.ndarray, " n"] | Bool[np.ndarray, " n"],
    max_iter: int,
    start: tuple[Float[np.ndarray, "C d"], Float[np.ndarray, " C"]] | None = None,
    device: str = "cpu",
) -> tuple[Float[np.ndarray, "C D"], Float[np.ndarray, " C"], bool]:
    """Fit the regression: (coef [C, D], intercept [C], converged); for two classes [1, D], [1].

    x_nd: float32 [n, D]; on the CPU also float64, or a sparse matrix. targets: ints 0 … C - 1,
    [n]. start: (coef, intercept) for the first features of x_nd; the others start at 0. converged:
    whether it stopped at the tolerance or, on the CPU, where the number type does not resolve the
    loss any more. coef has the type of x_nd, intercept is float64: where features are small it is
    so much larger than their share of a logit that float32 would not keep both.

    Dense features are centred first. The intercept is free, so the optimum is the same. But
    max-pooled features lie far from 0. L-BFGS takes three to five times as many iterations where
    all of them act on the intercept.
    """
    if device != "cpu":
        return _by_torch(x_nd, targets, max_iter, start, device)
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
    basis = _preconditioner(x_nd, targets, rows)
    if rows == 1:
        loss_of = functools.partial(_binary_loss, targets.astype(bool))
    else:
        loss_of = functools.partial(_multinomial_loss, targets)
    coef, intercept, converged = _lbfgs(basis, loss_of, basis.to_basis(coef), intercept, max_iter)
    coef = basis.from_basis(coef).astype(x_nd.dtype)
    intercept = _balanced(x_nd @ coef.T, targets, intercept)
    return coef, intercept - coef.astype(np.float64) @ mean, converged


class Preconditioner(NamedTuple):
    """A basis in which L-BFGS converges in fewer steps: orthonormal axes, each with a scale.

    A weight along an axis is the coefficient along it divided by the axis's scale.
    """

    x_nr: Any
    """[n, r]: the features along the axes, without the scales."""
    scales: np.ndarray | float
    """[r]; a number if all are the same."""
    intercept_scale: float
    mean_square: float
    """Of x_nr."""
    to_basis: Callable[[np.ndarray], np.ndarray]
    """coef [C, D] → coefficients along the axes [C, r]."""
    from_basis: Callable[[np.ndarray], np.ndarray]
    """Coefficients along the axes [C, r] → coef [C, D]."""


def _preconditioner(x_nd, targets, rows):
    """Principal axes, scaled so that L-BFGS converges in fewer steps; or the features' own axes.

    With several classes the curvature along the principal axis of variance s is about s / C + 1.
    In units of its root, L-BFGS takes a third to two thirds of the iterations. With two classes it
    takes more, if anything: there one scale serves all axes, which brings the features to the
    unit of the intercept, and the basis is used only where the images span fewer axes than there
    are features.
    """
    images, features = x_nd.shape
    smaller, larger = sorted(x_nd.shape)
    # Eigenvectors cost some 10·n³ operations, and save half of some 200 evaluations of 4·n·D·C.
    worth_it = smaller <= _EIGENVECTORS and smaller**2 <= 40 * larger * rows
    several = rows > 1
    if not isinstance(x_nd, np.ndarray) or not worth_it or (not several and images >= features):
        values = x_nd.ravel() if isinstance(x_nd, np.ndarray) else x_nd.data
        total = float(np.vdot(values, values))
        x_nr, along, across = x_nd, np.asarray, np.asarray
    else:
        find = _principal_axes if images >= features else _spanned_axes
        squares, x_nr, along, across = find(x_nd)
        total = float(squares.sum())
        if several:
            scales = 1 / np.sqrt(np.maximum(squares, 0) / rows + 1)
            intercept_scale = 1 / np.sqrt(images / rows)
            mean_square = total / x_nr.size if x_nr.size else 0.0
            return Preconditioner(x_nr, scales, intercept_scale, mean_square, along, across)
    mean_square = total / np.prod(x_nr.shape) if x_nr.shape[1] else 0.0
    return Preconditioner(
        x_nr, _common_scale(mean_square, targets), 1.0, mean_square, along, across
    )


def _common_scale(mean_square, targets):
    """A scale of all features with which the curvature along one is about the intercept's."""
    shares = np.bincount(targets) / len(targets)
    curvature = len(targets) * float(np.mean(shares * (1 - shares)))  # of the intercept
    return 1 / np.sqrt(mean_square + 1 / curvature)


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


def _lbfgs(basis, loss_of, coef_cr, intercept_c, max_iter):
    """(coefficients along the axes, intercept, converged) from a start, with SciPy's L-BFGS-B."""
    x_nr, images = basis.x_nr, basis.x_nr.shape[0]
    rows, width = coef_cr.shape
    scales = np.append(np.broadcast_to(basis.scales, width), basis.intercept_scale)
    gradient = np.empty((rows, width + 1))
    at = {}

    def loss_and_gradient(flat):
        parameters = flat.reshape(rows, width + 1) * scales
        coef, intercept = parameters[:, :-1], parameters[:, -1]
        logits_nc = x_nr @ coef.T.astype(x_nr.dtype)
        logits_nc += intercept.astype(x_nr.dtype)
        loss, residual_nc = loss_of(logits_nc)
        gradient[:, :-1] = (x_nr.T @ residual_nc).T
        gradient[:, :-1] += coef
        gradient[:, -1] = residual_nc.sum(axis=0, dtype=np.float64)
        loss += np.vdot(coef, coef) / 2
        at.update(coef=coef, residual=residual_nc, loss=loss)
        return loss / images, (gradient * scales / images).ravel()

    def is_optimum():
        """Whether the gradient, by curvature, is at most `TOLERANCE` of the weights away."""
        norm, wrong_nc = np.linalg.norm, np.abs(at["residual"])
        # p(1 - p) of every logit, as a residual is p or p - 1.
        curvature_c = (wrong_nc * (1 - wrong_nc)).sum(axis=0, dtype=np.float64)
        bends = norm((1 + basis.mean_square * curvature_c)[:, None] * at["coef"])
        return bool(
            norm(gradient[:, :-1]) <= TOLERANCE * bends
            and norm(gradient[:, -1]) <= TOLERANCE * norm(curvature_c)
        )

    count = _steps(max_iter)

    def stop_at_optimum(intermediate_result):
        count()
        before, at["before"] = at.get("before", np.inf), at["loss"]
        if is_optimum() or 0 <= before - at["loss"] <= _RESOLUTION * at["loss"]:
            raise StopIteration

    start = np.column_stack([coef_cr, intercept_c]) / scales
    loss_and_gradient(start.ravel())
    if is_optimum():
        return coef_cr, intercept_c, True
    with _blas_of_scipy().limit(limits=1):
        result = scipy.optimize.minimize(
            loss_and_gradient,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=stop_at_optimum,
            options={"maxiter": max_iter, "maxls": 50, "gtol": 0, "ftol": 0},
        )
    found = result.x.reshape(rows, width + 1) * scales
    # 99: the callback stopped it.
    return found[:, :-1], found[:, -1], result.status in (0, 99)


def _steps(max_iter):
    """Says how far a solver is."""
    return Count(f"steps of a probe, which has at most {max_iter:,}")


def _balanced(logits_nc, targets, intercept):
    """The intercepts [C] with which as many images as there are are expected in every class.

    logits_nc: without intercepts. Where they are small, classes differ by less than the loss tells
    intercepts apart, and what is chosen would hang on how far those were fitted. Elsewhere
    L-BFGS has found them as exactly as all else, and they stay as they are.
    """
    extent = np.abs(logits_nc).max(initial=0)
    if extent > _SMALL:
        return intercept
    logits_nc = logits_nc.astype(np.float64)
    single = logits_nc.shape[1] == 1
    if single:
        logits_nc = np.hstack([np.zeros_like(logits_nc), logits_nc])
    counts = np.bincount(targets)
    balanced = np.log(counts / len(targets))
    for _ in range(_BALANCINGS):
        probability_nc = np.exp(logits_nc + balanced)
        probability_nc /= probability_nc.sum(axis=1, keepdims=True)
        change = np.log(counts / probability_nc.sum(axis=0))
        balanced = balanced + change
        if np.abs(change).max() <= TOLERANCE * extent:
            break
    return balanced[1:] - balanced[:1] if single else balanced


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
    """Sum of losses, and (in place of the logits) its derivative by each logit.

    Both are exact relative to themselves, also where an image lies far on its class's side.
    """
    each = np.arange(len(targets))
    logits_nc -= logits_nc.max(axis=1, keepdims=True)
    own = logits_nc[each, targets]
    np.exp(logits_nc, out=logits_nc)
    own_share = logits_nc[each, targets]
    logits_nc[each, targets] = 0
    others = logits_nc.sum(axis=1)
    sums = own_share + others
    with np.errstate(divide="ignore"):
        loss = np.where(own > -1, np.log1p(others / own_share), np.log(sums) - own)
    logits_nc /= sums[:, None]
    logits_nc[each, targets] = -others / sums
    return loss.sum(dtype=np.float64), logits_nc


def _binary_loss(positive, logits_n1):
    """The same for the logit of the second class against the first."""
    margin = np.where(positive, logits_n1[:, 0], -logits_n1[:, 0])
    decay = np.exp(-np.abs(margin))
    loss = np.log1p(decay) + np.maximum(-margin, 0)
    wrong = np.where(margin > 0, decay, 1) / (1 + decay)
    return loss.sum(dtype=np.float64), np.where(positive, -wrong, wrong)[:, None]


class _AtOptimum(Exception):
    """Raised out of torch's L-BFGS, which has no other way to stop at a criterion of one's own."""


def _by_torch(x_nd, targets, max_iter, start, device):
    """`solve` on `device`.

    Full batch, strong Wolfe line search. Two classes are one logistic regression, as there. The
    products are in float32, all else in float64: near the optimum, float32 does not resolve by how
    much a step lowers the loss, and the line search would stop short of the tolerance.
    """
    import torch

    x = torch.as_tensor(x_nd, device=device)
    mean = x.mean(dim=0)
    x, mean = x - mean, mean.double()
    y = torch.as_tensor(targets, device=device).long()
    n_classes = int(targets.max()) + 1
    rows = 1 if n_classes == 2 else n_classes
    own = torch.nn.functional.one_hot(y, n_classes)[:, n_classes - rows :].double()
    mean_square = float(x.square().mean())
    scale = float(_common_scale(mean_square, targets))
    weights = torch.zeros(rows, x.shape[1], dtype=torch.float64, device=device)
    intercept = torch.zeros(rows, dtype=torch.float64, device=device)
    if start is not None:
        coef = torch.as_tensor(start[0], device=device).double()
        weights[:, : coef.shape[1]] = coef / scale
        intercept[:] = torch.as_tensor(start[1], device=device) + coef @ mean[: coef.shape[1]]
    weights.requires_grad_()
    intercept.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights, intercept],
        max_iter=max_iter,
        max_eval=10 * max_iter,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    count = _steps(max_iter)

    def closure():
        count()
        optimizer.zero_grad()
        coef = weights * scale
        logits = (x @ coef.float().T).double() + intercept
        padded = torch.nn.functional.pad(logits, (n_classes - rows, 0))
        loss = torch.nn.functional.cross_entropy(padded, y, reduction="sum")
        loss = _MAGNIFIED * (loss + coef.square().sum() / 2)
        loss.backward()
        assert weights.grad is not None
        assert intercept.grad is not None
        with torch.no_grad():
            probability = padded.softmax(dim=1)[:, n_classes - rows :]
            wrong = (probability - own).abs()
            curvature = (wrong * (1 - wrong)).sum(dim=0)
            bends = ((1 + mean_square * curvature)[:, None] * coef).norm()
            small = weights.grad.norm() <= TOLERANCE * _MAGNIFIED * scale * bends
            small &= intercept.grad.norm() <= TOLERANCE * _MAGNIFIED * curvature.norm()
        if small:
            raise _AtOptimum
        return loss

    try:
        optimizer.step(closure)
        converged = False
    except _AtOptimum:
        converged = True
    coef = (weights.detach() * scale).float()
    balanced = _balanced((x @ coef.T).cpu().numpy(), targets, intercept.detach().cpu().numpy())
    coef, mean = coef.cpu().numpy(), mean.cpu().numpy()
    return coef, balanced - coef.astype(np.float64) @ mean, converged
