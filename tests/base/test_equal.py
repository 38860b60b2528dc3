"""What counts as one value."""

import math

from hypothesis import given
from hypothesis import strategies as st

from visae.base import equal

M4 = 22648 / 22896


def test_last_bits_decide_nothing():
    scores = {"clip": M4, "mae": math.nextafter(M4, 2), "dino": 0.99, "deit": None}
    assert equal.ranked(scores) == [["dino"], ["clip", "mae"]]
    assert equal.ranked(scores, ascending=True) == [["clip", "mae"], ["dino"]]
    assert not equal.above(math.nextafter(0.7, 1), 0.7)
    assert equal.at_least(math.nextafter(0.7, 0), 0.7)
    assert not equal.above(0, -1e-17)
    assert equal.names(equal.named(["clip", "mae"])) == ["clip", "mae"]


def test_counts_that_differ_by_one_stay_apart():
    assert not equal.same(624_999_999 / 625_000_000, 1.0)
    assert not equal.same(1e-9, 2e-9)


@given(st.permutations(range(6)), st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_no_order_of_a_list_and_no_last_bit_matters(order, levels):
    exact = {str(name): level / 7 for name, level in enumerate(levels)}
    moved = {str(name): math.nextafter(levels[name] / 7, (-1) ** name * math.inf) for name in order}
    assert list(map(set, equal.ranked(moved))) == list(map(set, equal.ranked(exact)))
