"""Matched features against dense correlations, and against what is planted."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.audit import matching
from visae.audit.matching import best, correlations, match
from visae.base.errors import UserError


def codes(items=300, features=60, seed=0, rarest=0.02, commonest=0.6):
    """Sparse codes [items, F] of features that fire more and less often."""
    random = np.random.default_rng(seed)
    share = np.geomspace(rarest, commonest, features)
    found = random.gamma(2, size=(items, features)) * (random.random((items, features)) < share)
    return found.astype(np.float32)


def sparse(dense):
    return scipy.sparse.csr_array(dense)


def dense_correlations(left_nf, right_nf):
    """[A, B] by NumPy, −∞ where a feature is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.corrcoef(left_nf.astype(np.float64).T, right_nf.astype(np.float64).T)
    found = found[: left_nf.shape[1], left_nf.shape[1] :]
    return np.where(np.isnan(found), -np.inf, found)


@given(
    items=st.integers(2, 40),
    left=st.integers(1, 12),
    right=st.integers(1, 12),
    density=st.sampled_from([0.05, 0.3, 1]),
    seed=st.integers(0, 99),
    block=st.sampled_from([1, 5, 512]),
)
@settings(max_examples=40, deadline=None)
def test_the_best_are_those_of_dense_correlations(items, left, right, density, seed, block):
    random = np.random.default_rng(seed)
    a, b = (
        (random.gamma(2, size=(items, n)) * (random.random((items, n)) < density)).astype("f4")
        for n in (left, right)
    )
    before, matching._BLOCK = matching._BLOCK, block
    found = best(sparse(a), sparse(b))
    matching._BLOCK = before
    dense = dense_correlations(a, b)
    np.testing.assert_allclose(found.left, dense.max(axis=1), atol=1e-4)
    np.testing.assert_allclose(found.right, dense.max(axis=0), atol=1e-4)
    rows, columns = found.pairs.T
    assert len(set(rows)) == len(set(columns)) == len(rows)
    of_pairs = dense[rows, columns]
    np.testing.assert_allclose(found.strength, of_pairs, atol=1e-4)
    np.testing.assert_allclose(correlations(sparse(a), sparse(b), found.pairs), of_pairs, atol=1e-6)
    assert (of_pairs > 0).all()
    assert (of_pairs >= dense.max(axis=1)[rows] - 1e-4).all()
    assert (of_pairs >= dense.max(axis=0)[columns] - 1e-4).all()
    # No pair is left out whose features are each other's only best.
    ahead = 1e-3
    for row in range(left):
        column = int(dense[row].argmax())
        others = np.delete(dense[row], column), np.delete(dense[:, column], row)
        alone = all(len(o) == 0 or o.max() < dense[row, column] - ahead for o in others)
        if alone and dense[row, column] > ahead:
            assert [row, column] in found.pairs.tolist()


@pytest.mark.parametrize("threads", [1, 2])
def test_permuted_features_match_completely(threads):
    left = codes()
    order = np.random.default_rng(1).permutation(left.shape[1])
    found = match(sparse(left), sparse(left[:, order]), 3, 0.95, 0, threads=threads)
    np.testing.assert_array_equal(order[found.pairs[:, 1]], found.pairs[:, 0])
    assert found.live == (60, 60)
    assert found.above.all()
    assert found.shares == (1, 1)
    np.testing.assert_allclose(found.strength, 1, atol=1e-5)
    assert found.median == pytest.approx(1, abs=1e-5)


def test_features_that_cannot_be_told_apart_match_completely_too():
    """Ten fire on the same two images, and as strongly."""
    left = codes(features=30)
    left[:, :10] = 0
    left[[5, 50], :10] = 3
    order = np.random.default_rng(2).permutation(30)
    found = match(sparse(left), sparse(left[:, order]), 2, 0.95, 0)
    assert len(found.pairs) == 30
    np.testing.assert_allclose(found.strength, 1, atol=1e-5)
    alike = found.pairs[:, 0] < 10
    assert set(order[found.pairs[alike, 1]]) == set(range(10))


def test_shuffled_images_match_at_the_rate_of_the_control():
    left, right = codes(features=400, seed=1), codes(features=400, seed=1)
    shares, controls = [], []
    for seed in range(6):
        images = np.random.default_rng(100 + seed).permutation(len(right))
        found = match(sparse(left), sparse(right[images]), 4, 0.95, seed)
        shares.append(found.shares[0])
        controls.append(found.control_shares[0])
    assert 0 < np.mean(controls) < 0.05
    # 2,400 features of which about 1 % match by chance: a standard error of 0.2 %.
    assert np.mean(shares) == pytest.approx(np.mean(controls), abs=0.008)


def test_the_control_is_held_against_other_shuffles():
    """Against the largest of all shuffles, its own among them, it could never reach more."""
    left, right = codes(features=200, seed=1), codes(features=200, seed=2)
    assert match(sparse(left), sparse(right), 3, 1.0, 0).in_control.sum() > 0


def test_features_that_fire_everywhere_keep_the_digits_in_which_they_differ():
    random = np.random.default_rng(0)
    left, right = (1000 + random.normal(size=(80, 6)).astype(np.float32) for _ in "ab")
    right[:, 2] += 2 * (left[:, 4] - 1000)
    found = best(sparse(left), sparse(right))
    dense = dense_correlations(left, right)
    np.testing.assert_allclose(found.left, dense.max(axis=1), atol=1e-4)
    assert [4, 2] in found.pairs.tolist()


def test_chance_of_rare_features_is_not_held_against_frequent_ones():
    """Hundreds fire on one image each, and match by chance; ten frequent ones match half-way."""
    random = np.random.default_rng(3)
    left, right = np.zeros((2, 200, 410), np.float32)
    for side in (left, right):
        side[random.integers(200, size=400), np.arange(400)] = 1
    common = codes(200, 10, seed=4, rarest=0.4)
    left[:, 400:], right[:, 400:] = common, common + 1.5 * codes(200, 10, seed=5, rarest=0.4)
    found = match(sparse(left), sparse(right), 3, 0.95, 0)
    frequent = found.pairs[:, 0] >= 400
    assert frequent.sum() == found.above[frequent].sum() == 10
    assert found.threshold[frequent].max() < found.strength[frequent].min() < 0.9
    assert not found.above[~frequent].any()  # chance reaches 1 among those


def test_dead_and_constant_features_are_left_out_and_sizes_may_differ():
    left = codes(features=40)
    left[:, [3, 17]] = 0
    left[:, 20] = 2.5
    right = np.concatenate([codes(features=25, seed=9), left[:, :30]], axis=1)
    found = match(sparse(left), sparse(right), 2, 0.95, 0)
    assert found.live == (38, 53)
    partner = dict(found.pairs[found.above].tolist())
    assert {left: right for left, right in partner.items() if left < 30} == {
        feature: feature + 25 for feature in range(30) if feature not in (3, 17, 20)
    }
    assert not {3, 17, 20} & set(found.pairs[:, 0])


def test_nothing_fires_and_nothing_matches():
    nothing = sparse(np.zeros((10, 5), np.float32))
    for left, right in ((nothing, nothing), (nothing, sparse(codes(10, 4, rarest=0.4)))):
        found = match(left, right, 2, 0.95, 0)
        assert len(found.pairs) == 0
        assert found.shares == found.control_shares == (0, 0)
        assert found.median is None


def test_patches_of_an_image_stay_together_in_the_control():
    """Codes that say where in an image a patch lies correlate however images are shuffled."""
    place = np.tile(np.eye(9, dtype=np.float32), (50, 1))
    found = match(sparse(place), sparse(place), 3, 0.95, 0, patches=9)
    assert found.items == 450
    assert len(found.pairs) == 9
    assert not found.above.any()
    found = match(sparse(place), sparse(place), 3, 0.95, 0)  # as if each patch were an image
    assert found.above.all()


def test_no_image_stays_in_its_place():
    for images in (2, 3, 50):
        order = matching._apart(images, 4, (0, images))
        assert sorted(order) == list(range(4 * images))
        assert (order.reshape(-1, 4)[:, 0] // 4 != np.arange(images)).all()
        assert (np.diff(order.reshape(-1, 4)) == 1).all()


def test_one_image_is_refused():
    one = sparse(codes(1, 3))
    with pytest.raises(UserError, match=r"on 1 common images.*two or more"):
        match(one, one, 2, 0.95, 0)


def test_moments_of_float32_codes_are_summed_in_float64():
    """A feature that is silent on one of many items, and equal on all others."""
    items = 300_000
    codes = np.full(items, 0.3, np.float32)
    codes[7] = 0
    (mean,), (std,) = matching._moments(scipy.sparse.csc_array(codes[:, None]))
    exact = codes.astype(np.float64)
    assert mean == pytest.approx(exact.mean(), rel=1e-12)
    assert std == pytest.approx(exact.std(), rel=1e-6)
