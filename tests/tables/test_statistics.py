"""The analysis of variance against statsmodels, rank correlation against scipy and by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from visae.tables import statistics


def least_squares(values_bc):
    """(sums of squares, total) of type II by three fits: what a factor adds, and what is left."""
    b, c = np.nonzero(~np.isnan(values_bc))
    y = values_bc[b, c] - values_bc[b, c].mean()
    one = np.ones((len(y), 1))
    backbone, configuration = np.eye(b.max() + 1)[b], np.eye(c.max() + 1)[c]

    def left(*columns):
        design = np.hstack(columns)
        return ((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum()

    both = left(one, backbone, configuration)
    return np.array([left(one, configuration) - both, left(one, backbone) - both, both]), y @ y


def planted(rng, backbones=5, configurations=12, noise=0.3):
    return (
        rng.normal(size=(backbones, 1))
        + rng.normal(size=(1, configurations)) * 0.5
        + rng.normal(size=(backbones, configurations)) * noise
    )


@pytest.mark.parametrize("missing", [0, 1, 9])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_eta_squared_and_its_tests_are_those_of_least_squares(missing, offset):
    rng = np.random.default_rng(missing)
    values_bc = planted(rng) + offset
    values_bc.flat[rng.choice(values_bc.size, missing, replace=False)] = np.nan
    result = statistics.eta_squared(values_bc)
    assert result.cells == 60 - missing
    assert result.missing == missing
    squares, total = least_squares(values_bc)
    np.testing.assert_allclose(result[:3], squares / total, atol=1e-9)
    freedom = np.array([4, 11, 60 - missing - 16])
    ratios = squares[:2] / freedom[:2] / (squares[2] / freedom[2])
    assert (result.f_backbone, result.f_configuration) == pytest.approx(ratios, rel=1e-6)
    p = stats.f.sf(ratios, freedom[:2], freedom[2])
    assert (result.p_backbone, result.p_configuration) == pytest.approx(p, rel=1e-5)


@pytest.mark.parametrize("missing", [0, 1, 9])
def test_the_bootstrap_solves_the_same_analysis(missing):
    rng = np.random.default_rng(10 + missing)
    values_bc = planted(rng)
    values_bc.flat[rng.choice(values_bc.size, missing, replace=False)] = np.nan
    (shares,) = statistics._shares(values_bc[None])
    np.testing.assert_allclose(shares, statistics.eta_squared(values_bc)[:3], rtol=1e-10)


def test_eta_squared_of_a_design_that_falls_apart():
    """Two blocks that share neither a backbone nor a configuration."""
    rng = np.random.default_rng(3)
    values_bc = np.full((4, 6), np.nan)
    values_bc[:2, :3] = rng.normal(size=(2, 3))
    values_bc[2:, 3:] = rng.normal(size=(2, 3))
    result = statistics.eta_squared(values_bc)
    squares, total = least_squares(values_bc)
    np.testing.assert_allclose(result[:3], squares / total, atol=1e-9)
    assert result.p_backbone == pytest.approx(stats.f.sf(result.f_backbone, 2, 4))


def test_eta_squared_finds_planted_shares():
    backbone = np.array([-1.0, 1.0])[:, None]
    configuration = np.array([-0.5, 0.5])[None]
    interaction = 0.25 * backbone * configuration / 0.5
    result = statistics.eta_squared(backbone + configuration + interaction)
    total = 1 + 0.25 + 0.0625
    np.testing.assert_allclose(result[:3], [1 / total, 0.25 / total, 0.0625 / total])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(3, 8), st.floats(1e-3, 1e3),
    st.floats(-100, 100),
)  # fmt: skip
def test_eta_squared_does_not_depend_on_units_or_order(
    seed, backbones, configurations, scale, shift
):
    rng = np.random.default_rng(seed)
    values_bc = planted(rng, backbones, configurations)
    shares = statistics.eta_squared(values_bc)[:3]
    assert sum(shares) == pytest.approx(1)
    moved = scale * (rng.permutation(rng.permutation(values_bc), axis=1) + shift)
    np.testing.assert_allclose(statistics.eta_squared(moved)[:3], shares, atol=1e-6)
    swapped = statistics.eta_squared(values_bc.T)
    np.testing.assert_allclose(swapped[:3], [shares[1], shares[0], shares[2]], atol=1e-9)


@pytest.mark.parametrize(
    ("values_bc", "reason"),
    [
        (np.full((5, 4), 0.3), "all values are equal"),
        (np.full((5, 4), np.nan), "needs values from 2 backbones"),
        (np.arange(4.0)[None], "has 1 and 4"),
        ([[1.0, 2.0, 4.0], [3.0, np.nan, np.nan]], "no degrees of freedom"),
    ],
)
def test_eta_squared_says_why_it_is_undefined(values_bc, reason):
    result = statistics.eta_squared(values_bc)
    assert result[:3] == (None, None, None)
    assert reason in result.reason
    assert statistics.eta_squared_intervals(values_bc, seed=0) is None


def test_a_backbone_without_any_value_is_left_out_and_counted():
    values_bc = planted(np.random.default_rng(0), configurations=4)
    with_gap = np.vstack([values_bc, np.full((1, 4), np.nan)])
    result = statistics.eta_squared(with_gap)
    assert (result.cells, result.missing) == (20, 4)
    np.testing.assert_allclose(result[:3], statistics.eta_squared(values_bc)[:3])


def test_intervals_equal_a_loop_over_resamples():
    values_bc = planted(np.random.default_rng(1), configurations=6)
    values_bc[2, 3] = np.nan
    intervals = statistics.eta_squared_intervals(values_bc, seed=7, resamples=50)
    drawn = np.random.default_rng(7).integers(6, size=(50, 6))
    loop = [np.divide(*least_squares(values_bc[:, columns])) for columns in drawn]
    low_end, high_end = np.percentile(np.array(loop), [2.5, 97.5], axis=0)
    estimate = np.divide(*least_squares(values_bc))
    expected = np.clip(np.stack([2 * estimate - high_end, 2 * estimate - low_end], axis=1), 0, 1)
    np.testing.assert_allclose(intervals, expected, atol=1e-9)
    assert intervals == statistics.eta_squared_intervals(values_bc, seed=7, resamples=50)
    assert intervals != statistics.eta_squared_intervals(values_bc, seed=8, resamples=50)


def test_intervals_cover_the_share_of_a_population_of_configurations():
    """Configurations drawn from a known population: the interval holds its η² in some 84 %."""
    rng = np.random.default_rng(5)
    backbone = np.array([-1.0, -0.4, 0.0, 0.5, 0.9])[:, None]
    truth = (backbone**2).mean() / ((backbone**2).mean() + 0.5**2 + 0.3**2)
    inside = 0
    for repeat in range(60):
        noise = 0.3 * rng.normal(size=(5, 12))
        values_bc = backbone + 0.5 * rng.normal(size=(1, 12)) + noise
        low, high = statistics.eta_squared_intervals(values_bc, repeat, resamples=400).backbone
        inside += low <= truth <= high
    assert inside >= 45


def test_no_interval_from_three_configurations():
    values_bc = planted(np.random.default_rng(1), configurations=3)
    assert statistics.eta_squared(values_bc).backbone is not None
    assert statistics.eta_squared_intervals(values_bc, seed=0) is None


@pytest.mark.parametrize(
    ("y", "rho", "p_t", "p_exact"),
    [
        ([1, 2, 3, 5, 4], 0.9, 0.037386, 10 / 120),
        ([1, 2, 3, 4, 5], 1.0, 0.0, 2 / 120),
        ([5, 4, 3, 2, 1], -1.0, 0.0, 2 / 120),
        ([1, 3, 2, 5, 4], 0.8, 0.104088, 16 / 120),
    ],
)
def test_spearman_of_five_backbones(y, rho, p_t, p_exact):
    result = statistics.spearman([1, 2, 3, 4, 5], y)
    assert result.rho == pytest.approx(rho)
    assert result.p_t == pytest.approx(p_t, abs=1e-6)
    assert result.p_exact == pytest.approx(p_exact)
    assert (result.n, result.missing) == (5, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=6))
def test_spearman_with_ties_counts_all_orders(pairs):
    x, y = zip(*pairs, strict=True)
    result = statistics.spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert result.rho is None
        assert result.reason == "one side does not vary"
        return
    expected = stats.spearmanr(x, y)
    assert result.rho == pytest.approx(expected.statistic)
    if abs(result.rho) < 1:
        assert result.p_t == pytest.approx(expected.pvalue)
    # Twice the ranks' distances from their mean: integers, so that equal ρ are equal.
    (left, right) = ((2 * stats.rankdata(side) - len(side) - 1).tolist() for side in (x, y))
    products = [abs(np.dot(left, order)) for order in itertools.permutations(right)]
    assert result.p_exact == pytest.approx(np.mean(np.array(products) >= products[0]))


def test_spearman_drops_unknown_pairs_and_counts_them():
    full = statistics.spearman([1, 2, 3, 4], [1, 3, 2, 4])
    gaps = statistics.spearman([1, 2, None, 3, 4, 9], [1, 3, 5, 2, 4, math.nan])
    assert gaps == full._replace(missing=2)
    assert statistics.spearman([1, 2, None], [1, 2, 3]).reason == "needs 3 pairs, has 2"


def test_exact_p_only_where_the_orders_can_be_listed():
    many = list(range(statistics.EXACT_PERMUTATION_LIMIT + 1))
    result = statistics.spearman(many, many[::-1])
    assert result.rho == -1
    assert result.p_exact is None


def test_values_equal_on_paper_tie():
    """Two means of M4 in the demo, 22648/22896, summed in two orders."""
    first = [0.9891684136967156, 0.9891684136967155, 0.7, 0.8, 0.9]
    result = statistics.spearman(first, [5, 4, 1, 2, 3])
    assert result.rho == pytest.approx(stats.spearmanr([4, 4, 1, 2, 3], [5, 4, 1, 2, 3])[0])
    assert result.rho == pytest.approx(0.975, abs=5e-4)
    assert result.p_exact == pytest.approx(4 / 120)


@given(st.permutations(range(7)))
def test_equal_orders_have_equal_rho(order):
    """To the last bit, however the pairs are listed."""
    one, other = [0, 0, 1, 2, 3, 3, 4], [3, 1, 1, 0, 5, 6, 2]
    listed = statistics.spearman([one[i] for i in order], [other[i] for i in order])
    assert (
        listed.rho
        == statistics.spearman(one, other).rho
        == -statistics.spearman(one, [-x for x in other]).rho
    )


def test_p_of_every_order_of_five_is_students():
    """By t = ρ √(3 / (1 − ρ²)), of ρ from the squared differences of ranks: 0 and ±1 among them."""
    found = set()
    for order in itertools.permutations(range(5)):
        rho = 1 - 6 * sum((i - place) ** 2 for i, place in enumerate(order)) / (5 * 24)
        t = math.inf if abs(rho) == 1 else rho * math.sqrt(3 / (1 - rho**2))
        result = statistics.spearman(range(5), order)
        assert result.rho == pytest.approx(rho, abs=1e-12)
        assert result.p_t == pytest.approx(2 * stats.t.sf(abs(t), 3), rel=1e-9)
        found.add((round(result.rho, 9), round(result.p_t, 9)))
    assert {(1, 0), (-1, 0), (0, 1)} <= found
