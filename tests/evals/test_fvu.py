import numpy as np
import pytest
from metric_fixtures import SAE

from visae.evals.fvu.compute import fvu, ratio_of_scalar_variances
from visae.evals.results import write_result


def test_ratio_and_counts():
    sums = {"residual_sum": 0.0, "token_mean": np.zeros(2)}
    score = fvu(3.0, 12.0, np.array([0, 1, 2, 100]), tokens=100, l0_sum=103, **sums)
    assert score.value == 0.25
    assert score.readings == {
        "mean_l0": 1.03,
        "dead_features": 1,
        "dead_fraction": 0.25,
        "dense_features": 2,  # more than one token of a hundred
        "dense_fraction": 0.5,
        "as_run": 0.25,
    }


def test_as_run_is_a_ratio_of_variances_with_one_mean_for_all_dimensions():
    """Token by token, on activations and residuals whose means differ by dimension."""
    random = np.random.default_rng(0)
    x_td = random.normal(size=(50, 4)) + np.array([0.5, -0.2, 0.1, 0.3])
    residual_td = 0.3 * random.normal(size=(50, 4)) + 0.05

    def spread(values_td):
        squares = total = 0.0
        for token in values_td:
            squares += sum(value**2 for value in token)
            total += sum(token)
        return squares / len(values_td) - (total / len(values_td)) ** 2

    squared_error = (residual_td**2).sum()
    total_squares = ((x_td - x_td.mean(0)) ** 2).sum()
    firing, sums = np.ones(3, int), {"residual_sum": residual_td.sum(), "token_mean": x_td.mean(0)}
    score = fvu(squared_error, total_squares, firing, 50, 150, **sums)
    assert score.readings["as_run"] == pytest.approx(spread(residual_td) / spread(x_td), rel=1e-12)
    assert abs(score.readings["as_run"] - score.value) > 1e-3


def test_as_run_is_null_where_the_mean_exceeds_the_size():
    """Two dimensions at 3: the squares sum to 18 per token, the squared sum is 36."""
    assert ratio_of_scalar_variances(1.0, 0.0, 0.0, np.full(2, 3.0), 10) is None
    # One dimension that does not vary: the size is the mean's.
    assert ratio_of_scalar_variances(1.0, 0.0, 0.0, np.full(1, 3.0), 10) is None
    # Residuals whose mean exceeds their size.
    assert ratio_of_scalar_variances(1.0, 30.0, 500.0, np.zeros(2), 10) is None
    assert ratio_of_scalar_variances(0.0, 0.0, 500.0, np.zeros(2), 10) == 0


@pytest.mark.parametrize("total_squares, tokens", [(0.0, 10), (0.0, 0)])
def test_no_variance_is_null(total_squares, tokens, tmp_path):
    score = fvu(0.0, total_squares, np.zeros(3, int), tokens, 0, 0.0, np.zeros(2))
    assert score.value is None
    write_result(tmp_path / "fvu.json", "fvu", score, SAE, {})


@pytest.mark.parametrize(("tokens", "shares"), [(0, [0, 0]), (1, [0, 1]), (2, [0, 0.5])])
def test_shares_of_tokens_on_which_features_fire(tokens, shares):
    firing = np.array([0, min(tokens, 1)])
    score = fvu(1.0, 2.0, firing, tokens, 1, 0.0, np.zeros(2))
    assert score.arrays["firing_share"].tolist() == shares
    assert score.readings["mean_l0"] == (1 / tokens if tokens else None)
    assert (score.reason == "there are no tokens") == (tokens == 0)
