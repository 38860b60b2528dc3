"""The example of docs/own_metric.md computes what it says."""

import sys

import numpy as np
import pytest
from metric_fixtures import make_codes
from study_fixtures import ROOT

sys.path.append(str(ROOT / "docs/examples/evals"))

from selectivity.compute import selectivity


def test_selectivity_is_the_mean_share_of_the_strongest_classes():
    labels = np.arange(60) % 4
    codes_fn = make_codes(30, labels, 1.0)
    codes_fn[3] = 0
    expected = []
    for codes_n in codes_fn.astype(np.float64):
        by_class = sorted(codes_n[labels == label].sum() for label in range(4))
        if codes_n.any():
            expected.append(sum(by_class[-2:]) / codes_n.sum())
    result = selectivity(codes_fn, labels, 2)
    assert result.value == pytest.approx(np.mean(expected))
    assert result.data == {"features": 30, "live_features": 29}
    assert np.isnan(result.arrays["share"][3])


def test_selectivity_of_dead_features_is_unknown():
    result = selectivity(np.zeros((3, 4), np.float16), [0, 1, 0, 1], 1)
    assert (result.value, result.reason) == (None, "no feature is active on any image")
