import warnings

import numpy as np
import pytest
from sklearn.feature_selection import f_classif

from visae.probing.fstatistic import (
    NO_VARIANCE,
    class_sums,
    f_all_classes,
    f_one_vs_rest,
    f_two_groups,
)


@pytest.fixture(scope="module")
def codes():
    random = np.random.default_rng(0)
    labels = random.integers(0, 7, 300)
    codes_fn = random.gamma(1.0, 2.0, (40, 300)) * (random.random((40, 300)) < 0.3)
    codes_fn[:7] += 3.0 * (labels == np.arange(7)[:, None])
    codes_fn[30] = 0.0  # dead
    codes_fn[31] = 0.1  # active everywhere, constant
    codes_fn[32] += 500.0  # a large mean
    return codes_fn.astype(np.float16), labels


def sklearn_f(codes_fn, labels):
    # F does not depend on the origin, but scikit-learn's rounding does: 1e-9 at a mean of 500.
    wide = codes_fn.astype(np.float64) - codes_fn[:, :1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f_classif(wide.T, labels)[0]


def assert_equal_f(ours, theirs):
    assert np.array_equal(ours == NO_VARIANCE, ~np.isfinite(theirs))
    np.testing.assert_allclose(ours[ours >= 0], theirs[np.isfinite(theirs)], rtol=1e-10, atol=1e-11)


def test_sums_are_those_of_each_class_and_skip_negative_labels(codes):
    codes_fn, labels = codes
    labels = np.where(np.arange(labels.size) % 5 == 0, -1, labels)
    sums, squares = class_sums(codes_fn, labels, 7)
    wide = codes_fn.astype(np.float64)
    for label in range(7):
        np.testing.assert_allclose(sums[:, label], wide[:, labels == label].sum(1), rtol=1e-14)
        np.testing.assert_allclose(
            squares[:, label], (wide[:, labels == label] ** 2).sum(1), rtol=1e-14
        )


def test_equal_to_scikit_learn(codes):
    codes_fn, labels = codes
    counts = np.bincount(labels)
    sums, squares = class_sums(codes_fn, labels, 7)
    assert_equal_f(f_all_classes(sums, squares.sum(1), counts), sklearn_f(codes_fn, labels))
    one_vs_rest = f_one_vs_rest(sums, squares.sum(1), counts)
    for label in range(7):
        assert_equal_f(one_vs_rest[:, label], sklearn_f(codes_fn, labels == label))
    some = np.isin(labels, [1, 4, 6])
    f = f_two_groups(
        sums[:, 4], counts[4], sums[:, [1, 6]].sum(1), counts[[1, 6]].sum(),
        squares[:, [1, 4, 6]].sum(1),
    )  # fmt: skip
    assert_equal_f(f, sklearn_f(codes_fn[:, some], labels[some] == 4))


def test_perfect_separation_is_infinite_and_no_variance_is_last():
    labels = np.repeat([0, 1, 2], 10)
    codes_fn = np.stack([np.where(labels == 1, 0.3, 0.1), np.full(30, 0.7)]).astype(np.float16)
    sums, squares = class_sums(codes_fn, labels, 3)
    f = f_one_vs_rest(sums, squares.sum(1), np.bincount(labels))
    assert f[0, 1] == np.inf
    assert 0 < f[0, 0] < np.inf
    assert (f[1] == NO_VARIANCE).all()
    assert f_all_classes(sums, squares.sum(1), np.bincount(labels)).tolist() == [np.inf, -1.0]


def test_sums_of_many_images_are_kept_in_float64():
    codes_fn = np.full((1, 200_000), 0.1, dtype=np.float16)
    sums, _ = class_sums(codes_fn, np.zeros(200_000, dtype=int), 1)
    assert sums[0, 0] == np.float64(np.float16(0.1)) * 200_000
