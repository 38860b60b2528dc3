import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from visae.probing.auc import average_precision, roc_auc


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(2, 60), values=st.integers(1, 50), share=st.floats(0.1, 0.9),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_equal_to_scikit_learn_with_ties(images, values, share, seed):
    random = np.random.default_rng(seed)
    scores = random.integers(0, values, (3, images)).astype(np.float32) - 7
    positive = random.random(images) < share
    positive[0], positive[-1] = True, False
    for ours, theirs in ((roc_auc, roc_auc_score), (average_precision, average_precision_score)):
        expected = [theirs(positive, row) for row in scores]
        np.testing.assert_allclose(ours(scores, positive), expected, rtol=0, atol=1e-15)
        assert ours(scores[0], positive) == ours(scores, positive)[0]


def test_known_values():
    positive = np.array([True, True, False, False])
    assert roc_auc(np.array([3.0, 2, 1, 0]), positive) == 1
    assert roc_auc(np.zeros(4), positive) == 0.5
    assert average_precision(np.zeros(4), positive) == 0.5
    assert roc_auc(np.array([0.0, 1, 2, 3]), positive) == 0


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_one_sided_labels_are_refused(positive):
    with pytest.raises(ValueError):
        roc_auc(np.zeros(2), np.array(positive))
