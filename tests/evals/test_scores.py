import dataclasses
import json

import numpy as np
import pytest
from metric_fixtures import SAE

from visae.base.errors import UserError
from visae.evals.fvu.compute import fvu
from visae.evals.results import SCHEMAS, Score, read_arrays, read_score, validate, write_score


@pytest.fixture
def score():
    return fvu(2.0, 10.0, np.array([0, 3, 5]), tokens=10, l0_sum=8)


def test_what_is_written_is_read(tmp_path, score):
    path = tmp_path / "fvu.json"
    write_score(path, score, SAE, {"code": "0123"})
    document = read_score(path)
    assert document["value"] == 0.2
    assert document["reason"] is None
    assert document["sae"] == SAE
    assert document["readings"]["dead_features"] == 1
    np.testing.assert_array_equal(read_arrays(path)["firing_share"], [0, 0.3, 0.5])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fvu.json", "fvu.npz"]


def test_equal_scores_give_equal_bytes(tmp_path, score):
    for name in ("a", "b"):
        write_score(tmp_path / name / "fvu.json", score, SAE, {})
    for suffix in (".json", ".npz"):
        assert (tmp_path / f"a/fvu{suffix}").read_bytes() == (
            tmp_path / f"b/fvu{suffix}"
        ).read_bytes()


def test_null_needs_a_reason_and_only_null_has_one():
    rest = {"metric": "fvu", "definition": "d", "higher_is_better": False}
    with pytest.raises(UserError, match="needs a reason"):
        Score(value=None, **rest)
    with pytest.raises(UserError, match="needs a reason"):
        Score(value=1.0, reason="none", **rest)


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.float32("nan")])
def test_not_a_number_is_refused(tmp_path, score, bad):
    readings = {**score.readings, "mean_l0": bad}
    with pytest.raises(UserError, match="mean_l0"):
        write_score(tmp_path / "x.json", dataclasses.replace(score, readings=readings), SAE, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"higher_is_better": True},
        {"readings": {}},
        {"value": "0.2"},
        {"value": None},
        {"metric": "accuracy"},
        {"extra": 1},
        {"sae": {}},
    ],
)
def test_documents_that_break_the_schema_are_refused(tmp_path, score, change):
    write_score(tmp_path / "fvu.json", score, SAE, {})
    document = {**json.loads((tmp_path / "fvu.json").read_text()), **change}
    with pytest.raises(UserError, match=r"fvu|accuracy"):
        validate(document)


def test_every_schema_is_a_valid_schema():
    import jsonschema

    paths = sorted(SCHEMAS.glob("*.json"))
    assert paths
    for path in paths:
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
