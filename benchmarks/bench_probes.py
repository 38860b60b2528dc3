"""Time of one probe side by side with scikit-learn's lbfgs; prints a Markdown table.

The same penalised logistic regression at the same tolerance, on features of classes that overlap,
with the variances that max-pooled activations have: a few directions hold most. Both see centred
features. The penalised losses at both solutions, in float64, say which is nearer to the optimum.

    PYTHONPATH=workflow_scripts python benchmarks/bench_probes.py --threads 1
"""

import argparse
import os
import warnings
from typing import NamedTuple


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


def draw(problem, np):
    """(features float32 [n, D], class numbers [n])."""
    random = np.random.default_rng(0)
    shape = problem.features, problem.features
    mixed = random.normal(size=shape) / np.arange(1, problem.features + 1)[:, None] ** 0.7
    if problem.classes == 2:
        labels = (np.arange(problem.images) % 50 == 0).astype(int)
    else:
        labels = np.arange(problem.images) % problem.classes
    centres = random.normal(size=(problem.classes, problem.features)) / 4
    noise = random.normal(size=(problem.images, problem.features))
    return ((centres[labels] + noise) @ mixed).astype(np.float32), labels


def main():
    arguments = parsed_arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before they are loaded
        os.environ[name] = str(arguments.threads)
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from timing import best_times

    from visae.logistic_regression import solve
    from visae.probes import lbfgs_tolerance

    def penalised_loss(x_nd, labels, coef, intercept):
        logits = x_nd.astype(np.float64) @ coef.T.astype(np.float64) + intercept
        if len(coef) == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        own = logits[np.arange(len(labels)), labels]
        return (np.logaddexp.reduce(logits, axis=1) - own).sum() + (
            coef.astype(float) ** 2
        ).sum() / 2

    print("| n / D / C | here, s (CPU) | scikit-learn, s (CPU) | ratio | loss there − here |")
    print("|---|---:|---:|---:|---:|")
    warnings.simplefilter("ignore")  # that it has not converged: the losses say how far it came
    for problem in PROBLEMS:
        x_nd, labels = draw(problem, np)
        x_nd -= x_nd.mean(axis=0)
        rarest = np.bincount(labels).min() / len(labels)
        tolerance = 1e-4 * rarest if problem.classes == 2 else lbfgs_tolerance(problem.classes)
        found = {}

        def here(x_nd=x_nd, labels=labels, tolerance=tolerance, found=found):
            found["here"] = solve(x_nd, labels, 1000, tolerance)[:2]

        def there(x_nd=x_nd, labels=labels, tolerance=tolerance, found=found):
            model = LogisticRegression(C=1.0, max_iter=1000, tol=tolerance).fit(x_nd, labels)
            found["there"] = model.coef_, model.intercept_

        times = best_times(arguments.rounds, here=here, there=there)
        ours, theirs = times["here"], times["there"]
        losses = {name: penalised_loss(x_nd, labels, *solution) for name, solution in found.items()}
        print(
            f"| {problem.name}: {problem.images:,} / {problem.features:,} / {problem.classes} "
            f"| {ours.seconds:.3f} ({ours.cpu_seconds:.3f}) "
            f"| {theirs.seconds:.3f} ({theirs.cpu_seconds:.3f}) "
            f"| {theirs.seconds / ours.seconds:.1f} "
            f"| {losses['there'] - losses['here']:.0e} of {losses['here']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
