"""Where a rule of the probes begins to hold: steps until they stop, sizes of blocks and batches.

Steps are counted, since a solver that stops too late, or looks along worse axes, finds the same.
"""

import functools
import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from metric_fixtures import by_torch

from visae.base.errors import UserError
from visae.probing import logistic_regression, one_vs_rest, rankings
from visae.probing.fstatistic import NO_VARIANCE, correlation_ratio, f_all_classes
from visae.probing.logistic_regression import solve
from visae.probing.multinomial import fit_probe
from visae.probing.one_vs_rest import BinaryTask, newton
from visae.probing.rankings import feature_blocks, gather_ranked, rank_features
from visae.probing.siblings import SiblingGroup
from visae.probing.splits import stratified_split


@pytest.fixture
def steps(monkeypatch):
    """Counts the steps of the solvers, as `steps.count`."""
    counted = SimpleNamespace(count=0)

    def step():
        counted.count += 1

    monkeypatch.setattr(logistic_regression, "_steps", lambda max_iter: step)
    return counted


def problem(images, features, classes, unit=1.0, sparse=False):
    random = np.random.default_rng(0)
    labels = np.arange(images) % classes
    noise, centres = random.normal(size=(images, features)), random.normal(size=(classes, features))
    x = (np.abs(noise + 1.5 * centres[labels]) * unit).astype(np.float32)
    return (scipy.sparse.csr_matrix(x * (x > unit)) if sparse else x), labels


SOLVERS = {"SciPy": solve, "torch": functools.partial(by_torch, device="cuda")}
MEASURED = [
    ("SciPy", (200, 20, 5), 24), ("torch", (200, 20, 5), 25),
    ("SciPy", (60, 90, 3), 28), ("torch", (60, 90, 3), 19),
    ("SciPy", (150, 25, 4, 1.0, True), 58),
    ("SciPy", (200, 12, 2), 11), ("torch", (200, 12, 2), 13),
    ("SciPy", (40, 60, 2), 12), ("torch", (40, 60, 2), 16),
    ("SciPy", (200, 12, 2, 1000), 62),
    ("SciPy", (200, 20, 5, 1e-3), 1), ("torch", (200, 20, 5, 1e-3), 3),
]  # fmt: skip
"""Solver, problem, and the steps that it took, which another BLAS may change by a few."""


@pytest.mark.parametrize(("solver", "given", "taken"), MEASURED)
def test_solvers_stop_at_the_tolerance_and_no_later(solver, given, taken, steps):
    x, labels = problem(*given)
    coef, intercept, converged = SOLVERS[solver](x, labels, 500)
    assert converged is True
    assert abs(steps.count - taken) <= 1 + 0.1 * taken
    steps.count = 0
    start = coef.astype(np.float64), intercept
    assert SOLVERS[solver](x, labels, 500, start)[2] is True
    assert steps.count <= 1  # from the optimum none is left, which torch sees in its first
    if taken > 9:
        assert SOLVERS[solver](x, labels, 5)[2] is False


def test_a_nested_start_is_where_the_smaller_probe_ended(steps):
    x, labels = problem(200, 20, 5)
    for classes in (5, 2):
        chosen = labels < classes
        small = fit_probe(x[chosen, :19], labels[chosen])
        steps.count = 0
        fit_probe(x[chosen], labels[chosen], start=small)
        nested, steps.count = steps.count, 0
        fit_probe(x[chosen], labels[chosen])
        assert nested < 0.8 * steps.count
        whole = fit_probe(x[chosen], labels[chosen])
        steps.count = 0
        again = fit_probe(x[chosen], labels[chosen], start=whole)
        assert steps.count <= 1
        np.testing.assert_allclose(again.intercept - again.intercept[0],
                                   whole.intercept - whole.intercept[0], atol=2e-3)  # fmt: skip


def test_classes_of_other_sizes_without_features_are_told_by_their_intercepts():
    labels = np.repeat([0, 1, 2], [1, 3, 6])
    for solver in SOLVERS.values():
        for unit in (0.0, 1e-6):
            x = unit * np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
            coef, intercept, converged = solver(x, labels, 500)
            assert converged
            assert np.abs(coef).max() < 1e-4
            shares = np.exp(intercept - intercept.max())
            np.testing.assert_allclose(shares / shares.sum(), [0.1, 0.3, 0.6], atol=1e-4)


def test_newton_ends_after_the_step_that_gains_nothing():
    x, labels = problem(60, 3, 2)
    design = np.concatenate([np.ones((60, 1)), x], axis=1)[None]
    solved = []

    class Counting:
        def __getattr__(self, name):
            return getattr(np, name)

        @property
        def linalg(self):
            solved.append(1)
            return np.linalg

    y, ones, zeros = labels[None].astype(float), np.ones((1, 60)), np.zeros((1, 4))
    found, converged = newton(Counting(), design, y, ones, zeros)
    assert converged.all()
    assert len(solved) in (4, 5)
    solved.clear()
    again, converged = newton(Counting(), design, y, ones, found)
    assert (converged.all(), len(solved)) == (True, 1)
    np.testing.assert_allclose(again, found, rtol=1e-9)
    gradient = design[0].T @ (1 / (1 + np.exp(-design[0] @ found[0])) - labels)
    np.testing.assert_allclose(gradient + found[0] * [0, 1, 1, 1], 0, atol=1e-9)


@pytest.mark.parametrize(("numbers", "sizes"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (4, [4, 3]),
                                                (0.1, [1] * 7), (100, [5, 2])])  # fmt: skip
def test_batches_fill_the_memory_that_they_have(numbers, sizes, monkeypatch):
    """Tasks of 3 × 5 codes, 8 bytes each, at most five together."""
    monkeypatch.setattr(one_vs_rest, "_BATCH_BYTES", {"cpu": int(numbers * 8 * 15)})
    monkeypatch.setattr(one_vs_rest, "_BATCH_TASKS", {"cpu": 5})
    tasks = [
        BinaryTask(np.zeros((3, 5)), np.zeros(5, bool), np.full((3, 2), 1.0 * i)) for i in range(7)
    ]
    found = list(one_vs_rest._batches(iter(tasks), "cpu"))
    assert [len(batch) for batch in found] == sizes
    assert [task.test_km[0, 0] for batch in found for task in batch] == list(range(7))
    empty = BinaryTask(np.zeros((3, 0)), np.zeros(0, bool), np.zeros((3, 2)))
    assert len(next(iter(one_vs_rest._batches([empty] * 9, "cpu")))) == 5


@pytest.mark.parametrize(("spare", "kind"), [(0, np.float64), (-1, np.float32)])
def test_what_the_processors_memory_holds_is_solved_in_float64(spare, kind, monkeypatch):
    monkeypatch.setattr(one_vs_rest, "_CACHED", 40 * 60 + spare)
    monkeypatch.setattr(one_vs_rest, "NEWTON_FEATURES", 2)
    seen, solve = [], one_vs_rest.solve

    def noted(x, *arguments):
        seen.append((x.dtype, x.shape, arguments[-1] is None))
        return solve(x, *arguments)

    monkeypatch.setattr(one_vs_rest, "solve", noted)
    x, labels = problem(60, 40, 2)
    task = BinaryTask(x.T, labels == 1, x.T)
    one_vs_rest.fit_batch([task], [2, 3, 40], 500, "cpu")
    assert seen == [(kind, (60, 3), False), (kind, (60, 40), False)]
    seen.clear()
    one_vs_rest.fit_batch([task], [3, 40], 500, "cpu")
    assert seen == [(kind, (60, 3), True), (kind, (60, 40), False)]


@pytest.mark.parametrize(
    ("columns", "height", "size", "starts"),
    [
        (None, None, 3, [0, 3, 6, 9]),
        (None, None, 0, list(range(10))),
        (10, None, 6, [0, 3, 6, 9]),
        (2, None, 3, [0, 3, 6, 9]),
        (None, 4, 6, [0, 4, 8]),
        (None, 4, 3, [0, 4, 8]),
        (None, 2, 5, [0, 4, 8]),
        (None, 2, 8, [0, 8]),
    ],
)
def test_blocks_are_as_large_as_memory_lets_them_and_of_whole_chunks(
    columns, height, size, starts, monkeypatch
):
    """Ten features of five images; size: of a block, in rows of 5 numbers."""
    monkeypatch.setattr(rankings, "_BLOCK_BYTES", size * 8 * 5)
    codes = np.arange(50.0).reshape(10, 5)

    class Chunked:
        shape, chunks = (10, 5), (height, 5)

        def __getitem__(self, rows):
            return codes[rows]

    found = list(inspect.unwrap(feature_blocks)(Chunked() if height else codes, columns))
    assert [start for start, _ in found] == starts
    np.testing.assert_array_equal(np.concatenate([block for _, block in found]), codes)


def test_a_group_of_which_one_class_is_known_is_no_task():
    groups = [SiblingGroup("p", (0, 8, 9)), SiblingGroup("q", (2, 1, 9))]
    tasks, columns = rankings._sibling_tasks(groups, np.array([0, 1, 2]))
    assert tasks == [(2, 1), (1, 1)]
    assert [each.tolist() for each in columns] == [[2, 1]]


def test_no_ranked_features_gather_no_codes():
    codes = np.arange(6.0).reshape(3, 2)
    gathered = gather_ranked(codes, np.empty((0, 4), np.int32))
    assert gathered.codes_un.shape == (0, 2)
    gathered = gather_ranked(codes, np.array([[2, 0], [0, 2]]), np.array([2]))
    assert gathered.features.tolist() == [0, 2]
    assert gathered.rows(np.array([2, 0])).tolist() == [[4, 5], [0, 1]]
    assert gathered.of_images(np.array([False, True])).codes_un.tolist() == [[1], [5]]


def test_the_codes_of_a_feature_lie_together():
    gathered = gather_ranked(np.arange(24.0).reshape(4, 6), np.array([3, 0, 1]))
    some = gathered.of_images(np.arange(6) % 2 == 1)
    assert some.codes_un.tolist() == [[1, 3, 5], [7, 9, 11], [19, 21, 23]]
    assert some.codes_un.flags.c_contiguous
    assert some.rows(np.array([3, 1])).flags.c_contiguous


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
def test_rankings_are_of_the_size_that_is_asked_for(size):
    random, labels = np.random.default_rng(0), np.arange(12) % 3
    codes = random.random((6, 12)).astype(np.float16)
    groups = [SiblingGroup("p", (0, 1, 2))]
    found = rank_features(codes, labels, np.ones(12, bool), groups, size=size)
    whole = rank_features(codes, labels, np.ones(12, bool), groups)
    least = min(size, 6)
    assert found.per_class.shape == (3, least)
    assert found.siblings.shape == (3, 4)
    np.testing.assert_array_equal(found.overall, whole.overall[:least])
    np.testing.assert_array_equal(found.per_class, whole.per_class[:, :least])
    np.testing.assert_array_equal(found.siblings, whole.siblings)


def test_the_correlation_ratio_at_its_ends():
    """Of F = b/k / (w/m): √(b / (b + w)) = √(kF / (kF + m))."""
    f = np.array([0.0, 1.0, 3.0, np.inf, NO_VARIANCE])
    expected = [0, np.sqrt(2 / 7), np.sqrt(6 / 11), 1, NO_VARIANCE]
    np.testing.assert_allclose(correlation_ratio(f, 2, 5), expected, rtol=1e-14)
    np.testing.assert_allclose(correlation_ratio(f[:2], 1, 0), [0, np.sqrt(1 / 2)], rtol=1e-14)
    assert correlation_ratio(np.array([-0.0, -1e-18]), 1, 3).tolist() == [0, 0]


def test_as_many_classes_as_images_leave_one_degree_of_freedom():
    """Two images in two classes: nothing varies within, and F is without bound."""
    sums, squares = np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([10.0, 8.0])
    assert f_all_classes(sums, squares, np.array([1, 1])).tolist() == [np.inf, NO_VARIANCE]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.1])
def test_a_share_of_nothing_or_all_is_no_split(share):
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        stratified_split(np.arange(4) % 2, share)


@pytest.mark.parametrize(("sizes", "share", "counts"), [
    ([1], 0.5, [0]), ([2], 0.01, [1]), ([2], 0.99, [1]), ([3, 1, 2], 0.5, [2, 0, 1]),
    ([10, 10], 0.25, [3, 2]), ([5, 5, 5], 0.3, [2, 1, 1]), ([4, 4], 0.5, [2, 2]), ([], 0.5, []),
])  # fmt: skip
def test_each_class_gives_its_share_rounded_so_that_the_sum_fits(sizes, share, counts):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(3):
        found = np.bincount(labels[stratified_split(labels, share, seed)], minlength=len(sizes))
        assert sorted(found, reverse=True) == sorted(counts, reverse=True)
        assert sizes != [3, 1, 2] or found.tolist() == counts
