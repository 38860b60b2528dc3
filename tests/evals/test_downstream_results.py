"""The downstream document: what is written comes back, and what is wrong is refused."""

import json

import jsonschema
import pytest
from metric_fixtures import SAE

from visae.base.errors import UserError
from visae.evals.task_results import SCHEMA, Outcome, read_result, source, write_result


def test_a_result_comes_back_as_written(tmp_path):
    outcomes = {
        "reconstructed": Outcome(0.5, readings={"recall_at_5": 0.75}, data={"images": 3}),
        "codes": Outcome(None, "no two images of a class"),
    }
    write_result(tmp_path / "retrieval.json", "retrieval", outcomes, source(**SAE), {"code": "x"})
    document = read_result(tmp_path / "retrieval.json")
    assert document["representations"]["reconstructed"]["value"] == 0.5
    assert document["representations"]["codes"]["reason"] == "no two images of a class"
    assert document["source"]["k"] == 128


@pytest.mark.parametrize(
    ("task", "outcomes", "of", "message"),
    [
        ("retrieval", {"raw": Outcome(1.5)}, source("clip", 11), "1.5 is greater than"),
        ("retrieval", {"codes": Outcome(0.5)}, source("clip", 11), "representations"),
        ("retrieval", {"raw": Outcome(0.5)}, source(**SAE), "representations"),
        ("retrieval", {}, source(**SAE), "representations"),
        ("sorting", {"raw": Outcome(0.5)}, source("clip", 11), "no downstream task 'sorting'"),
        ("segmentation", {"raw": Outcome(0.5, data={"n": -1})}, source("clip", 11), "data/n"),
    ],
)
def test_a_wrong_result_is_not_written(tmp_path, task, outcomes, of, message):
    with pytest.raises(UserError, match=message):
        write_result(tmp_path / "it.json", task, outcomes, of, {})
    assert not (tmp_path / "it.json").exists()


def test_null_needs_a_reason():
    with pytest.raises(UserError, match="needs a reason"):
        Outcome(None)
    with pytest.raises(UserError, match="needs a reason"):
        Outcome(0.5, "but why")


def test_the_schema_itself_is_valid():
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
