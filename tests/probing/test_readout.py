"""Means over classes: exact, so that what is equal on paper is one float."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visae.probing.readout import ClassAreas


def areas(halves, pairs):
    """The `ClassAreas` of classes with so many halves of pairs on the right side."""
    auc = np.array(halves, float)[:, None] / 2 / np.array(pairs)[:, None]
    return ClassAreas(np.arange(len(pairs)), auc, auc, np.array(pairs), 0, None)


classes = st.integers(1, 5_000_000).flatmap(
    lambda pairs: st.tuples(st.integers(0, 2 * pairs), st.just(pairs))
)


@given(st.lists(classes, min_size=1, max_size=40), st.randoms())
def test_the_mean_area_is_the_exact_one_rounded_once_in_any_order(drawn, random):
    exact = sum(Fraction(half, 2 * pairs) for half, pairs in drawn) / len(drawn)
    shuffled = random.sample(drawn, len(drawn))
    for order in (drawn, shuffled):
        assert areas(*zip(*order, strict=True)).mean_auc == [float(exact)]
    precisions = [
        areas(*zip(*order, strict=True)).mean_average_precision for order in (drawn, shuffled)
    ]
    assert precisions[0] == precisions[1] == [pytest.approx(float(exact), rel=1e-15)]


def test_equal_counts_in_other_classes_give_one_value():
    """A pair more in one class and a pair less in another, of 24 classes."""
    generator, pairs = np.random.default_rng(0), [7632] * 24
    halves = generator.integers(9000, 15000, 24)
    move = np.array([2, -2] + [0] * 22)
    found = [areas(halves + generator.permutation(move), pairs) for _ in range(99)]
    assert len({each.mean_auc[0] for each in found}) == 1
    assert len({sum(each.auc[:, 0]) / 24 for each in found}) > 1  # of floats, one after the other


def test_without_classes_there_is_no_mean():
    none = np.empty((0, 3))
    without = ClassAreas(np.arange(0), none, none, np.arange(0), 0, "none")
    assert without.mean_auc == without.mean_average_precision == [None] * 3
