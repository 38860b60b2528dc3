"""Columns of all features, their likes and which are chosen, against the dense computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.audit import choice, feature_table
from visae.audit.feature_table import nearest, nearest_by_decoder, read_table
from visae.encoding.largest import LargestCodes
from visae.encoding.reductions import half_codes


class Planted:
    """What `read_table` reads of reductions, of sparse random codes [F, N]."""

    def __init__(self, features=40, images=150, seed=0, classes=5):
        random = np.random.default_rng(seed)
        codes = random.gamma(2, size=(features, images)).astype(np.float32)
        codes *= random.random((features, images)) < random.uniform(0.02, 0.9, (features, 1))
        codes[7] = 0  # dead
        self.codes, self.features, self.images = half_codes(codes), features, images
        self.labels = random.integers(-1, classes, images)
        self.largest = LargestCodes.of_none(features, images)
        self.largest.add(np.ascontiguousarray(codes.T), 0)
        self.firing_count = 3 * (codes > 0).sum(axis=1)
        self.tokens = 9 * images


@pytest.fixture(params=[(1024, 2048), (64, 16), (7, 3)])
def blocks(request, monkeypatch):
    """Blocks of so many images and features change nothing."""
    monkeypatch.setattr(feature_table, "BLOCK_IMAGES", request.param[0])
    monkeypatch.setattr(feature_table, "_BLOCK_FEATURES", request.param[1])


def test_columns_are_the_dense_ones(blocks):
    planted, chosen = Planted(), [3, 30, 7]
    codes = planted.codes.astype(np.float64)
    table = read_table(planted, chosen)
    for feature in range(planted.features):
        on = codes[feature] > 0
        assert table.images[feature] == on.sum()
        assert table.live[feature] == (feature != 7)
        assert table.frequency[feature] == planted.firing_count[feature] / planted.tokens
        if not on.any():
            assert np.isnan([table.mean[feature], table.purity[feature]]).all()
            assert table.label[feature] == -1
            continue
        assert table.mean[feature] == pytest.approx(codes[feature, on].mean())
        assert table.largest[feature] == pytest.approx(codes[feature].max(), rel=1e-3)
        labels = planted.labels[on & (planted.labels >= 0)]
        counts = np.bincount(labels, minlength=5)
        if len(labels):
            assert table.label[feature] == counts.argmax()
            assert table.purity[feature] == pytest.approx(counts.max() / len(labels))
        edges = np.linspace(0, table.largest[feature], feature_table.BINS + 1)
        edges[-1] = np.inf
        np.testing.assert_array_equal(
            table.histogram[feature], np.histogram(codes[feature, on], edges)[0]
        )
    active = codes > 0
    jaccard = table.jaccard(chosen)
    for row, feature in enumerate(chosen):
        for other in range(planted.features):
            both = (active[feature] & active[other]).sum()
            either = (active[feature] | active[other]).sum()
            assert table.together[row, other] == both
            assert jaccard[row, other] == pytest.approx(both / either if either else 0)


def test_likes_are_live_others_by_similarity():
    random = np.random.default_rng(0)
    decoder = random.standard_normal((30, 6))
    decoder[[4, 9]] = decoder[2] + 1e-3, 2 * decoder[2]
    live = np.ones(30, bool)
    live[4] = False
    (found,) = nearest_by_decoder(decoder, [2], live, 5)
    assert found[0] == (9, pytest.approx(1))
    assert len(found) == 5
    assert {2, 4}.isdisjoint(feature for feature, _ in found)
    values = [value for _, value in found]
    assert values == sorted(values, reverse=True)
    assert nearest(np.zeros((1, 3)), [0], np.array([True, False, False]), 5) == [[]]


@given(
    images=st.integers(0, 60),
    number=st.integers(0, 8),
    top=st.integers(1, 8),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_bands_share_no_image_and_go_down(images, number, top, seed):
    random = np.random.default_rng(seed)
    codes = random.gamma(1, size=80).astype(np.float16)
    codes[images:] = 0
    codes = random.permutation(codes)
    order = np.argsort(-codes, kind="stable")[: np.count_nonzero(codes)]
    bands = choice.bands_of(codes, order[:top], number)
    found = np.concatenate(list(bands.values())).astype(int)
    assert len(set(found)) == len(found)
    assert (codes[found] > 0).all()
    assert (np.diff(codes[found].astype(float)) <= 0).all()
    left = max(len(order) - top, 0)
    assert len(bands["middle"]) + len(bands["low"]) == min(2 * number, left)
    assert set(found) <= set(order)


def test_middle_and_low_bands_lie_where_they_are_said_to():
    codes = np.arange(1000, 0, -1).astype(np.float16)
    bands = choice.bands_of(codes, np.arange(8), 4)
    assert bands["middle"].tolist() == [502, 503, 504, 505]
    assert bands["low"].tolist() == [899, 900, 901, 902]


def test_rule_takes_from_every_list_in_turn():
    frequency = np.array([0, 5, 4, 3, 2, 1, 9, 8, 7, 6])
    values = {"M1": np.array([9.0, np.nan, 1, 2, 3, 0, 0, 0, 0, 0]), "M5": np.arange(10) / 10}
    assert choice.by_rule(6, frequency, values) == {
        **{4: "high M1", 9: "high M5", 3: "evenly spread over frequency"},
        **{8: "high M5", 2: "high M1", 7: "high M5"},  # 3 and 8 stand in two lists
    }
    assert 0 not in choice.by_rule(50, frequency, values)  # dead, though of the largest M1
    assert len(choice.by_rule(50, frequency, values)) == 9
    spread = choice.by_rule(3, frequency, {})
    assert list(spread) == [4, 1, 7]
    assert choice.by_rule(0, frequency, values) == {}
    assert choice.by_rule(5, np.zeros(4, int), {}) == {}
