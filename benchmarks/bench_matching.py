"""Speed and memory of matching the features of two SAEs; prints a Markdown table.

    PYTHONPATH=workflow_scripts python benchmarks/bench_matching.py --features 6144

Pooled codes of two dictionaries are compared, with a control of three shuffles of the images. The
straightforward way standardises dense codes and multiplies them, once for each. That both find the
same best correlations is checked. Features fire independently of each other, some more often.
"""

import argparse

import numpy as np
import scipy.sparse
from timing import clock, peak_megabytes

from visae.audit.matching import best, match

SHUFFLES = 3


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--features", type=int, default=6144, help="F of either SAE")
    parser.add_argument("--active", type=float, default=0.05, help="share of codes that are not 0")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def random_codes(arguments, seed):
    """Sparse codes [N, F]."""
    random = np.random.default_rng(seed)
    number = int(arguments.images * arguments.features * arguments.active)
    share = random.gamma(0.5, size=arguments.features)
    columns = random.choice(arguments.features, number, p=share / share.sum())
    rows = random.integers(arguments.images, size=number)
    codes = random.gamma(2, size=number).astype(np.float32)
    shape = arguments.images, arguments.features
    return scipy.sparse.csr_array((codes, (rows, columns)), shape)


def straightforward(left_nf, right_nf):
    """The best correlation of each feature of the left, once and for each shuffle."""
    left, right = (_standardised(codes.toarray()) for codes in (left_nf, right_nf))
    found = []
    for number in range(1 + SHUFFLES):
        order = np.random.default_rng(number).permutation(len(left)) if number else slice(None)
        found.append((left[order].T @ right).max(axis=1))
    return found[0]


def _standardised(codes_nf):
    centred = codes_nf - codes_nf.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    return centred / np.where(length > 0, length, 1)


def main():
    arguments = parse_arguments()
    codes = random_codes(arguments, 0), random_codes(arguments, 1)
    _, ours = clock(match, *codes, SHUFFLES, 0.95, 0, threads=arguments.threads)
    memory = peak_megabytes()
    reference, slow = clock(straightforward, *codes)
    found = best(*codes).left
    live = np.isfinite(found)
    np.testing.assert_allclose(found[live], reference[live], atol=1e-4)
    print(
        f"F = {arguments.features}, N = {arguments.images}, {100 * arguments.active:g} % of codes "
        f"active, {SHUFFLES} shuffles, {arguments.threads} threads; peak memory {memory:.0f} MB\n"
    )
    print("| | seconds | CPU seconds |\n|---|---:|---:|")
    for name, timing in (("matching", ours), ("dense products", slow)):
        print(f"| {name} | {timing.seconds:.1f} | {timing.cpu_seconds:.1f} |")


if __name__ == "__main__":
    main()
