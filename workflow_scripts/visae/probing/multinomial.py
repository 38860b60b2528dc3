"""Linear probes that choose one of many classes.

Multinomial logistic regression with an L2 penalty (C = 1: sum of losses + ‖W‖²/2, intercepts
free), solved by L-BFGS, and the Adam probe that the paper uses on GPUs, here for class counts at
which n x C no longer fits. Paper: Table 2, Appendix L.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visae.base.arrays import Float, Int
from visae.base.declared import Array, check_arrays
from visae.base.errors import UserError
from visae.base.progress import counted
from visae.base.reading import guarded
from visae.base.seals import made_of, read_npz, write_npz
from visae.probing.logistic_regression import solve

FORMAT = "visae-probe-2"

ADAM_ABOVE_CLASSES = 1000
"""More classes than this are probed with Adam (`choose_estimator`)."""

_ROWS = 4096


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier: class with the largest x·coefᵀ + intercept."""

    coef: Float[np.ndarray, "C D"]
    """float32."""
    intercept: Float[np.ndarray, " C"]
    """float64: where features are small, float32 would swallow their share of a logit."""
    classes: Int[np.ndarray, " C"]
    """int64, ascending."""
    estimator: str
    """Which solver ran, with its settings."""
    converged: bool
    """False if the solver stopped for another reason than its tolerance (Adam: always True)."""

    def predict(self, x_nd: Float[np.ndarray, "n D"]) -> Int[np.ndarray, " n"]:
        """The classes int64 [n] of the rows of x_nd [n, D]."""
        best_n = np.empty(len(x_nd), dtype=np.int64)
        for start in range(0, len(x_nd), _ROWS):  # never n x C at once
            x = np.asarray(x_nd[start : start + _ROWS], dtype=np.float32)
            best_n[start : start + _ROWS] = np.argmax(x @ self.coef.T + self.intercept, axis=1)
        return self.classes[best_n]

    def accuracy(self, x_nd: Float[np.ndarray, "n D"], labels: Int[np.ndarray, " n"]) -> float:
        """Share of the rows of x_nd [n, D] whose class is predicted right."""
        return int((self.predict(x_nd) == labels).sum()) / len(x_nd)


def choose_estimator(n_classes: int) -> str:
    """`lbfgs`, or `adam` where there are more than `ADAM_ABOVE_CLASSES` classes."""
    return "adam" if n_classes > ADAM_ABOVE_CLASSES else "lbfgs"


def fit_probe(
    x_nd: Float[np.ndarray, "n D"],
    labels: Int[np.ndarray, " n"],
    estimator: str = "lbfgs",
    max_iter: int = 500,
    device: str = "cpu",
    start: LinearProbe | None = None,
    seed: int = 42,
) -> LinearProbe:
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
        coef, intercept, converged = solve(
            x_nd,
            targets,
            max_iter,
            start=None if start is None else _independent_rows(start),
            device=device,
        )
        name = lbfgs_name(max_iter, device)
        if classes.size == 2:
            coef, intercept = np.vstack([0 * coef, coef]), np.append(0 * intercept, intercept)
    else:
        raise UserError(f"estimator {estimator!r} is unknown; choose lbfgs or adam")
    return LinearProbe(
        coef=coef.astype(np.float32),
        intercept=intercept.astype(np.float64),
        classes=classes.astype(np.int64),
        estimator=name,
        converged=converged,
    )


def write_probe(path: str | Path, probe: LinearProbe, inputs: Iterable[str | Path] = ()) -> None:
    """Write `probe` to an `.npz` file (no pickle). inputs: the files that it was fitted on."""
    write_npz(path, FORMAT, vars(probe), made_of(path, inputs))


def read_probe(path: str | Path) -> LinearProbe:
    """Read what `write_probe` wrote; UserError for a file that is damaged or not this one."""
    arrays = read_npz(path, FORMAT)
    with guarded(path, "a probe"):
        check_arrays(ARRAYS, arrays)
    return LinearProbe(
        coef=arrays["coef"],
        intercept=arrays["intercept"],
        classes=arrays["classes"],
        estimator=str(arrays["estimator"]),
        converged=bool(arrays["converged"]),
    )


ARRAYS = {
    "coef": Array("float32", "C D"),
    "intercept": Array("float64", "C"),
    "classes": Array("int64", "C"),
    "converged": Array("bool", ""),
}


def lbfgs_name(max_iter: int, device: str) -> str:
    """How results name the solver."""
    return f"{'SciPy' if device == 'cpu' else 'torch'} L-BFGS (C 1, max_iter {max_iter})"


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
    for _ in counted(range(EPOCHS), "passes of a probe", EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(_BATCH):
            rows = rows.to(device)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[rows]), y[rows]).backward()
            optimizer.step()
    return layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()
