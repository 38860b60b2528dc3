import numpy as np
import pytest
from metric_fixtures import SAE

from visae.evals.fvu.compute import fvu
from visae.evals.results import write_result


def test_ratio_and_counts():
    score = fvu(3.0, 12.0, np.array([0, 1, 2, 100]), tokens=100, l0_sum=103)
    assert score.value == 0.25
    assert score.readings == {
        "mean_l0": 1.03,
        "dead_features": 1,
        "dead_fraction": 0.25,
        "dense_features": 2,  # more than one token of a hundred
        "dense_fraction": 0.5,
    }


@pytest.mark.parametrize("total_squares, tokens", [(0.0, 10), (0.0, 0)])
def test_no_variance_is_null(total_squares, tokens, tmp_path):
    score = fvu(0.0, total_squares, np.zeros(3, int), tokens, 0)
    assert score.value is None
    write_result(tmp_path / "fvu.json", "fvu", score, SAE, {})
