"""The rules by which codes are chosen, against loops over single tokens."""

import numpy as np
import pytest
import torch

from visae.sae.model import SELECTIONS

K, FEATURES = 3, 12


def kept(pre, rule):
    """The positions that a rule keeps of one token's pre-activations."""
    if rule == "group_max":
        size = FEATURES // K
        return [first + int(pre[first : first + size].argmax()) for first in range(0, 12, size)]
    return np.argsort(-abs(pre) if rule == "abs_topk" else -pre)[:K]


@pytest.mark.parametrize("rule", SELECTIONS)
def test_codes_are_those_that_the_rule_keeps(rule):
    pre_tf = np.random.default_rng(0).normal(size=(50, FEATURES)).astype(np.float32)
    pre_tf[0] = -abs(pre_tf[0])  # nothing is positive
    expected_tf = np.zeros_like(pre_tf)
    for pre, codes in zip(pre_tf, expected_tf, strict=True):
        chosen = kept(pre, rule)
        signed = rule in ("signed_topk", "abs_topk")
        codes[chosen] = pre[chosen] if signed else np.maximum(pre[chosen], 0)
    for shape in ((50, FEATURES), (5, 10, FEATURES)):
        found = SELECTIONS[rule](torch.from_numpy(pre_tf.reshape(shape)), K)
        np.testing.assert_array_equal(found.numpy().reshape(50, FEATURES), expected_tf)
