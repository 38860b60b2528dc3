"""Arrays that a format does not allow are named, also behind a valid seal."""

import numpy as np
import pytest

from visae.base.declared import Array, check_arrays

DECLARED = {
    "codes": Array("float32", "F T"),
    "images": Array("int64", "F T", least=0, below="N"),
    "pixels": Array("uint8", "N S S 3"),
    "tasks": Array("int64", "A 2", least=-1),
    "large": Array("float16", "F N", apart=True),
}


def whole():
    return {
        "codes": np.ones((2, 3), np.float32),
        "images": np.array([[0, 1, 3], [2, 0, 1]]),
        "pixels": np.zeros((4, 5, 5, 3), np.uint8),
        "tasks": np.zeros((0, 2), np.int64),
        "large": np.full((2, 4), np.nan, np.float16),
    }


def test_what_is_declared_is_allowed():
    found = check_arrays(DECLARED, whole() | {"other": None}, N=4)
    assert found == {"N": 4, "F": 2, "T": 3, "S": 5, "A": 0}
    check_arrays(DECLARED, whole() | {"tasks": np.array([[-1, 0]])})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("codes", np.ones((2, 3)), r"codes is float64 of shape \(2, 3\), not float32 \[F T\]"),
        ("codes", np.ones(2, np.float32), r"codes is float32 of shape \(2,\), not"),
        ("codes", np.array([[1, np.nan, 0]] * 2, np.float32), "codes holds NaN or infinity"),
        ("codes", np.array([[1, -np.inf, 0]] * 2, np.float32), "codes holds NaN or infinity"),
        ("images", np.zeros((2, 4), np.int64), r"images \[F T\] has T = 4, not 3"),
        ("images", np.full((2, 3), 4), "images holds 4, but is of indices below N = 4"),
        ("images", np.full((2, 3), -1), "images holds -1, which is below 0"),
        ("pixels", np.zeros((4, 5, 6, 3), np.uint8), r"has S = 6, not 5"),
        ("pixels", np.zeros((4, 5, 5, 4), np.uint8), r"has 3 = 4, not 3"),
        ("pixels", np.zeros((3, 5, 5, 3), np.uint8), r"has N = 3, not 4"),
        ("tasks", np.array([[0, -2]]), "tasks holds -2"),
        ("large", np.ones((2, 5), np.float16), r"large \[F N\] has N = 5, not 4"),
    ],
)
def test_what_is_not_declared_is_named(name, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_arrays(DECLARED, whole() | {name: value}, N=4)


def test_an_array_that_is_missing_is_named():
    found = whole()
    del found["tasks"]
    with pytest.raises(ValueError, match="tasks is not in it"):
        check_arrays(DECLARED, found)
