"""Time of one probe side by side with scikit-learn's lbfgs; prints a Markdown table.

The same penalised logistic regression at tolerances of equal strictness, on features of classes
that overlap, with the variances that max-pooled activations have: a few directions hold most.
Both see centred features. The penalised losses at both solutions, in float64, say which is nearer
to the optimum.

    PYTHONPATH=workflow_scripts python benchmarks/bench_probes.py --threads 1
"""

import argparse
import warnings
from typing import NamedTuple

import numpy as np
import threadpoolctl
from sklearn.linear_model import LogisticRegression
from timing import best_times

from visae.probing.logistic_regression import solve

MAX_ITER = 1000


class Problem(NamedTuple):
    name: str
    images: int
    features: int
    classes: int


PROBLEMS = [
    Problem("as the demo's raw features", 432, 96, 54),
    Problem("as the demo's codes elsewhere", 270, 768, 27),
    Problem("raw features, 100 classes", 3000, 768, 100),
    Problem("codes of few images", 1000, 4096, 50),
    Problem("one class of 50 against the rest", 20_000, 128, 2),
]


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def draw(problem):
    """(centred features float32 [n, D], class numbers [n], scikit-learn's tolerance).

    Its default of 1e-4 stops far from the optimum of a rare class; 1e-4 of the share does not.
    """
    random = np.random.default_rng(0)
    shape = problem.features, problem.features
    mixed = random.normal(size=shape) / np.arange(1, problem.features + 1)[:, None] ** 0.7
    if problem.classes == 2:
        labels = (np.arange(problem.images) % 50 == 0).astype(int)
        tolerance = 1e-4 * labels.mean()
    else:
        labels = np.arange(problem.images) % problem.classes
        tolerance = 1e-4 / problem.classes
    centres = random.normal(size=(problem.classes, problem.features)) / 4
    noise = random.normal(size=(problem.images, problem.features))
    x_nd = ((centres[labels] + noise) @ mixed).astype(np.float32)
    return x_nd - x_nd.mean(axis=0), labels, tolerance


def by_sklearn(x_nd, labels, tolerance):
    model = LogisticRegression(C=1.0, max_iter=MAX_ITER, tol=tolerance).fit(x_nd, labels)
    return model.coef_, model.intercept_


def penalised_loss(x_nd, labels, coef, intercept):
    """The loss that both minimise, in float64."""
    coef = coef.astype(np.float64)
    logits = x_nd @ coef.T + intercept
    if len(coef) == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    own = logits[np.arange(len(labels)), labels]
    return (np.logaddexp.reduce(logits, axis=1) - own).sum() + (coef**2).sum() / 2


def row(problem, rounds):
    """One line of the table."""
    x_nd, labels, tolerance = draw(problem)
    times = best_times(
        rounds,
        here=lambda: solve(x_nd, labels, MAX_ITER),
        there=lambda: by_sklearn(x_nd, labels, tolerance),
    )
    here, there = times["here"], times["there"]
    coef, intercept, _ = solve(x_nd, labels, MAX_ITER)
    loss = penalised_loss(x_nd, labels, coef, intercept)
    excess = penalised_loss(x_nd, labels, *by_sklearn(x_nd, labels, tolerance)) - loss
    return (
        f"| {problem.name}: {problem.images:,} / {problem.features:,} / {problem.classes} "
        f"| {here.seconds:.3f} ({here.cpu_seconds:.3f}) "
        f"| {there.seconds:.3f} ({there.cpu_seconds:.3f}) "
        f"| {there.seconds / here.seconds:.1f} | {excess:.0e} of {loss:.0f} |"
    )


def main():
    arguments = parsed_arguments()
    warnings.simplefilter("ignore")  # that it has not converged: the losses say how far it came
    print("| n / D / C | here, s (CPU) | scikit-learn, s (CPU) | ratio | loss there − here |")
    print("|---|---:|---:|---:|---:|")
    with threadpoolctl.threadpool_limits(arguments.threads):
        for problem in PROBLEMS:
            print(row(problem, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
