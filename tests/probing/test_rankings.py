import dataclasses
import warnings
from fractions import Fraction

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import f_classif
from sparse_fixtures import stored

import visae.probing.rankings
from visae.base.errors import UserError
from visae.probing.fstatistic import NO_VARIANCE, correlation_ratio
from visae.probing.rankings import gather_features, rank_features, read_rankings, write_rankings
from visae.probing.siblings import SiblingGroup


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(1)
    labels = random.integers(0, 6, 240) * 10  # gaps between the ids
    codes_fn = random.gamma(1.0, 2.0, (50, 240)) * (random.random((50, 240)) < 0.4)
    codes_fn[:6] += 2.0 * (labels == 10 * np.arange(6)[:, None])
    codes_fn[[20, 21]] = 0.0
    codes_fn[33] = codes_fn[8]  # a tie
    train_mask = random.random(240) < 0.8
    return codes_fn.astype(np.float16), labels, train_mask


def sklearn_order(codes_fn, targets):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f = f_classif(codes_fn.T.astype(np.float64), targets)[0]
    return np.argsort(-np.where(np.isfinite(f), f, -1.0), kind="stable")


def test_rankings_are_those_of_f_classif_on_the_training_images(problem):
    codes_fn, labels, train_mask = problem
    groups = [SiblingGroup("p", (0, 10, 50)), SiblingGroup("q", (20, 30, 777))]
    rankings = rank_features(codes_fn, labels, train_mask, groups, size=50)
    train_codes, train_labels = codes_fn[:, train_mask], labels[train_mask]
    assert rankings.classes.tolist() == [0, 10, 20, 30, 40, 50]
    for row, label in zip(rankings.per_class, rankings.classes, strict=True):
        assert np.array_equal(row, sklearn_order(train_codes, train_labels == label))
        assert set(row[-2:]) == {20, 21}
    assert np.array_equal(rankings.overall, sklearn_order(train_codes, train_labels))
    assert np.array_equal(rankings.overall_all_images, sklearn_order(codes_fn, labels))
    assert np.array_equal(rankings.sibling_tasks_all_images, rankings.sibling_tasks)
    for row, (label, group) in zip(
        rankings.siblings_all_images, rankings.sibling_tasks_all_images, strict=True
    ):
        some = np.isin(labels, groups[group].labels)
        assert np.array_equal(row, sklearn_order(codes_fn[:, some], labels[some] == label)[:4])
    # 777 has no images; 20 against 30 remains.
    assert rankings.sibling_tasks.tolist() == [[0, 0], [10, 0], [50, 0], [20, 1], [30, 1]]
    for row, (label, group) in zip(rankings.siblings, rankings.sibling_tasks, strict=True):
        some = np.isin(train_labels, groups[group].labels)
        order = sklearn_order(train_codes[:, some], train_labels[some] == label)
        assert np.array_equal(row, order[:4])


def test_test_images_do_not_count(problem):
    codes_fn, labels, train_mask = problem
    spoiled = codes_fn.copy()
    spoiled[40, ~train_mask] = np.where(labels[~train_mask] == 0, 100.0, 0.0)
    before = rank_features(codes_fn, labels, train_mask)
    after = rank_features(spoiled, labels, train_mask)
    for name in ("per_class", "overall", "siblings"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    places = [each.overall_all_images.tolist().index(40) for each in (before, after)]
    assert places[1] < places[0]


def test_a_class_without_training_images_counts_among_all_images_alone(problem):
    codes_fn, labels, train_mask = problem
    train_mask = train_mask & (labels != 50)
    groups = [SiblingGroup("p", (0, 10, 50))]
    rankings = rank_features(codes_fn, labels, train_mask, groups, size=50)
    assert rankings.sibling_tasks.tolist() == [[0, 0], [10, 0]]
    assert rankings.sibling_tasks_all_images.tolist() == [[0, 0], [10, 0], [50, 0]]
    assert np.array_equal(rankings.overall_all_images, sklearn_order(codes_fn, labels))
    assert np.array_equal(
        rankings.overall, sklearn_order(codes_fn[:, train_mask], labels[train_mask])
    )


def test_blocks_and_storage_never_change_a_ranking(problem, tmp_path, monkeypatch):
    codes_fn, labels, train_mask = problem
    groups = [SiblingGroup("p", (0, 10, 50))]
    whole = rank_features(codes_fn, labels, train_mask, groups, size=20)
    monkeypatch.setattr(visae.probing.rankings, "_BLOCK_BYTES", 8 * 240 * 7)
    wanted = np.array([33, 2, 49, 2, 0])
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        in_file = stored(file, codes_fn, (7, 100))
        blocked = rank_features(in_file, labels, train_mask, groups, size=20)
        assert np.array_equal(gather_features(in_file, wanted), codes_fn[wanted])
    write_rankings(tmp_path / "rankings.h5", blocked)
    read = read_rankings(tmp_path / "rankings.h5")
    for name in (field.name for field in dataclasses.fields(whole)):
        assert np.array_equal(getattr(whole, name), getattr(read, name)), name
        assert getattr(whole, name).dtype == getattr(read, name).dtype
    assert whole.per_class.shape == (6, 20)


def test_one_class_cannot_be_ranked(problem):
    codes_fn, labels, _ = problem
    with pytest.raises(UserError, match="1 classes have training images"):
        rank_features(codes_fn, labels, labels == 10)


def test_features_of_one_image_tie_whatever_their_code():
    codes_fn = np.zeros((2, 17))
    codes_fn[:, 0] = 0.3923, 0.3574
    labels = (np.arange(17) >= 5).astype(int)
    rankings = rank_features(codes_fn, labels, np.ones(17, dtype=bool))
    assert rankings.per_class.tolist() == [[0, 1], [0, 1]]
    assert rankings.overall.tolist() == [0, 1]


def exact_order(codes_fn, targets):
    """By descending F as a fraction of whole numbers, ties by index, no variance last."""
    keys = []
    for feature, codes_n in enumerate(codes_fn.tolist()):
        codes = [Fraction(code) for code in codes_n]
        classes = [[c for c, t in zip(codes, targets, strict=True) if t == u] for u in set(targets)]
        mean = sum(codes) / len(codes)
        total = sum((code - mean) ** 2 for code in codes)
        between = sum(len(of) * (sum(of) / len(of) - mean) ** 2 for of in classes)
        keys.append((-between / total if total else 1, feature))
    return [feature for _, feature in sorted(keys)]


@st.composite
def planted_ties(draw):
    """Codes [F, 24] of few distinct profiles: scaled, permuted within classes, or dead; labels."""
    labels = np.array(draw(st.permutations(np.arange(24) % draw(st.integers(2, 4)))))
    profile = st.lists(st.sampled_from([0, 0, 0, 1, 2, 5]), min_size=24, max_size=24)
    profiles = draw(st.lists(profile, min_size=1, max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    features = draw(st.integers(2, 30))
    whole_fn = np.array([profiles[random.integers(len(profiles))] for _ in range(features)])
    for codes_n in whole_fn:
        for label in set(labels):
            codes_n[labels == label] = random.permutation(codes_n[labels == label])
    factors = np.exp(random.uniform(-12, 12, features)) * (random.random(features) < 0.9)
    return whole_fn, factors, labels


@settings(deadline=None)
@given(planted_ties(), st.integers(1, 7), st.integers(1, 30))
def test_what_ties_on_paper_is_in_the_order_of_index(planted, block, size):
    whole_fn, factors, labels = planted
    groups = [SiblingGroup("p", (0, 1, 2))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visae.probing.rankings, "_BLOCK_BYTES", 8 * labels.size * block)
        rankings = rank_features(
            whole_fn * factors[:, None], labels, np.ones(labels.size, dtype=bool), groups, size
        )
    alive_fn = whole_fn * (factors > 0)[:, None]
    assert rankings.overall.tolist() == exact_order(alive_fn, labels.tolist())[:size]
    for row, label in zip(rankings.per_class, rankings.classes, strict=True):
        assert row.tolist() == exact_order(alive_fn, (labels == label).tolist())[:size]
    among = labels < 3
    for row, (label, _) in zip(rankings.siblings, rankings.sibling_tasks, strict=True):
        order = exact_order(alive_fn[:, among], (labels[among] == label).tolist())
        assert row.tolist() == order[:4]


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.lists(st.floats(0, 1e12), min_size=2))
def test_the_correlation_ratio_orders_as_f_does(within, between, f):
    ratio = correlation_ratio(np.array([*f, np.inf, NO_VARIANCE]), between, within)
    assert ratio[-1] == NO_VARIANCE
    assert ratio[-2] == 1
    explained = np.array(f) * between
    np.testing.assert_allclose(
        ratio[:-2], np.sqrt(explained / (explained + within)), rtol=1e-14, atol=1e-150
    )


@pytest.mark.parametrize("asked", [[0, 50], [-1, 3], [50], [7, 49, 51, 2]])
def test_features_that_the_codes_have_not_are_refused(problem, asked, tmp_path):
    codes_fn = problem[0]
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        in_file = stored(file, codes_fn, (8, 240))
        for codes in (codes_fn, in_file):
            with pytest.raises(UserError, match=f"features {min(asked)} to {max(asked)} are asked"):
                gather_features(codes, asked)
            assert gather_features(codes, [0, 49]).shape == (2, 240)
            assert gather_features(codes, np.array([], int)).shape == (0, 240)
