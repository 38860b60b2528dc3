"""The document of a result: what is written comes back, and what is wrong is refused."""

import dataclasses
import json
import shutil
import types

import jsonschema
import numpy as np
import pytest
from metric_fixtures import SAE

from visae.base.errors import UserError
from visae.base.seals import write_document
from visae.evals import results
from visae.evals.fvu.compute import fvu
from visae.evals.inputs import computed
from visae.evals.provenance import provenance, read_origin
from visae.evals.results import (
    FORMAT,
    SCHEMAS,
    Result,
    described,
    load,
    read_arrays,
    read_result,
    validate,
    write_result,
)
from visae.evals.shelf import EVALS
from visae.tables import tidy

RAW = described("clip", 11)


@pytest.fixture
def score():
    return fvu(2.0, 10.0, np.array([0, 3, 5]), 10, 8, 0.0, np.zeros(2))


# ---------------------------------------------------------------- metrics


def test_what_is_written_is_read(tmp_path, score):
    path = tmp_path / "fvu.json"
    write_result(path, "fvu", score, SAE, {"code": "0123"})
    document = read_result(path)
    assert document["value"] == 0.2
    assert document["reason"] is None
    assert document["sae"] == SAE
    assert document["readings"]["dead_features"] == 1
    assert document["higher_is_better"] is False
    assert document["definition"] == EVALS["fvu"].definition
    assert document["format"] == FORMAT
    np.testing.assert_array_equal(read_arrays(path)["firing_share"], [0, 0.3, 0.5])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fvu.json", "fvu.npz"]


def test_what_is_no_result_is_refused(tmp_path, score):
    with pytest.raises(UserError, match=r"fvu returned .*, which is no Result; return one"):
        write_result(tmp_path / "fvu.json", "fvu", score.document(), SAE, {})
    with pytest.raises(UserError, match=r"retrieval returned .*, which is no dict"):
        write_result(tmp_path / "retrieval.json", "retrieval", score, RAW, {})


def test_a_definition_names_details_of_the_result(tmp_path, score):
    lacking = dataclasses.replace(score, details={})
    with pytest.raises(UserError, match=r"'headline' in braces.*correct the entry"):
        write_result(tmp_path / "cross_domain.json", "cross_domain", lacking, SAE, {})


def test_whatever_fails_in_an_eval_is_said_in_a_sentence():
    with pytest.raises(UserError, match="fvu of other failed with AttributeError"):
        computed("fvu", types.SimpleNamespace(sae="other"), {}, None)


def test_equal_scores_give_equal_bytes(tmp_path, score):
    for name in ("a", "b"):
        write_result(tmp_path / name / "fvu.json", "fvu", score, SAE, {})
    for suffix in (".json", ".npz"):
        assert (tmp_path / f"a/fvu{suffix}").read_bytes() == (
            tmp_path / f"b/fvu{suffix}"
        ).read_bytes()


def test_null_needs_a_reason_and_only_null_has_one():
    with pytest.raises(UserError, match="needs a reason"):
        Result(None)
    with pytest.raises(UserError, match="needs a reason"):
        Result(1.0, reason="none")


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.float32("nan")])
def test_not_a_number_is_refused(tmp_path, score, bad):
    readings = {**score.readings, "mean_l0": bad}
    changed = dataclasses.replace(score, readings=readings)
    with pytest.raises(UserError, match="mean_l0"):
        write_result(tmp_path / "x.json", "fvu", changed, SAE, {})
    assert list(tmp_path.iterdir()) == []


def test_arrays_that_the_entry_does_not_announce_are_refused(tmp_path, score):
    """The rule would not wait for their file, or would wait for one that never comes."""
    with pytest.raises(UserError, match="lacks arrays"):
        write_result(tmp_path / "x.json", "fvu", dataclasses.replace(score, arrays={}), SAE, {})
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
        {"sae": SAE | {"sparsity": -1}},
        {"format": 1},
    ],
)
def test_documents_that_break_the_schema_are_refused(tmp_path, score, change):
    write_result(tmp_path / "fvu.json", "fvu", score, SAE, {})
    document = {**read_result(tmp_path / "fvu.json"), **change}
    with pytest.raises(UserError, match=r"fvu|accuracy"):
        validate(document, tmp_path / "fvu.json")


def test_a_document_with_a_key_too_many_is_refused_at_its_top_level(tmp_path, score):
    write_result(tmp_path / "fvu.json", "fvu", score, SAE, {})
    document = read_result(tmp_path / "fvu.json")
    with pytest.raises(UserError, match=r"\(at top level\)"):
        validate({**document, "extra": 1}, "here")
    with pytest.raises(UserError, match=r"\(at sae/k\)"):
        validate({**document, "sae": document["sae"] | {"k": "many"}}, "here")


@pytest.mark.parametrize("changes", [{"readings": {}}, {"value": -0.2}, {"data": {"n": -1}}])
def test_a_score_is_checked_when_it_is_read_too(tmp_path, monkeypatch, score, changes):
    """Whole by its digest, but not what a writer of this version would have let pass."""
    path = tmp_path / "fvu.json"
    with monkeypatch.context() as unchecked:
        unchecked.setattr(results, "validate", lambda *_: None)
        write_result(path, "fvu", dataclasses.replace(score, **changes), SAE, {})
    with pytest.raises(UserError, match="fvu"):
        read_result(path)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (("0.2", "0.3"), "has changed since it was written"),
        (("clip", "mae"), "has changed since it was written"),
        (("0.2", "NaN"), "NaN is no number of JSON"),
        (('"seal": {', '"seal": [{'), "damaged or not JSON"),
        (("format", "f\udcff"), "damaged or not JSON"),
    ],
)
def test_a_changed_document_is_refused(tmp_path, score, change, refusal):
    path = tmp_path / "fvu.json"
    write_result(path, "fvu", score, SAE, {})
    path.write_text(path.read_text().replace(*change, 1), errors="surrogateescape")
    for read in (read_result, load, read_origin):
        with pytest.raises(UserError, match=f"fvu.json.*{refusal}.*: remove it and run"):
            read(path)


@pytest.mark.parametrize("place", ["metrics/mae/layer11/a", "metrics/clip/layer10/a"])
def test_a_score_of_another_place_is_refused(tmp_path, score, place):
    path, other = tmp_path / "metrics/clip/layer11/a/fvu.json", tmp_path / place / "fvu.json"
    write_result(path, "fvu", score, SAE, provenance("c0de", {}, {}))
    other.parent.mkdir(parents=True)
    shutil.copy(path, other)
    for read in (load, read_origin, lambda path: tidy.rows_of([path])):
        assert read(path)
        with pytest.raises(UserError, match=r"is a copy of 'metrics/clip/layer11/a/fvu.json'"):
            read(other)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"value": "0.2"}, "value"),
        ({"value": True}, "value"),
        ({"readings": {"l0_by_ear": 1.0}}, "readings"),
        ({"readings": {"mean_l0": "many"}}, "readings/mean_l0"),
        ({"higher_is_better": True}, "higher_is_better"),
        ({"sae": SAE | {"layer": 11.5}}, "sae/layer"),
        ({"remark": "edited"}, "top level"),
    ],
)
def test_rows_are_made_of_scores_that_follow_their_schema_alone(tmp_path, score, change, where):
    """Behind a valid seal, as another version of a metric would leave them."""
    path = tmp_path / "fvu.json"
    write_result(path, "fvu", score, SAE, {})
    document = load(path)
    rows = tidy.rows_of([path])
    write_document(path, results.KIND, document | {"readings": document["readings"]})
    assert tidy.rows_of([path]) == rows
    if "readings" in change:
        change = {"readings": document["readings"] | change["readings"]}
    write_document(path, results.KIND, document | change)
    with pytest.raises(UserError, match=rf"fvu.json: .*\(at {where}\); see .*schema.json"):
        tidy.rows_of([path])


def test_documents_of_another_format_are_named(tmp_path):
    (tmp_path / "fvu.json").write_text('{"metric": "fvu", "value": 0.5}')
    with pytest.raises(
        UserError, match=r"fvu.json is of format None, but 'visae-result-4' is read here: remove"
    ):
        load(tmp_path / "fvu.json")


@pytest.mark.parametrize("kind", ["metric", "task"])
def test_a_score_of_an_eval_that_is_gone_is_named(tmp_path, kind):
    path = tmp_path / "gone.json"
    write_document(path, results.KIND, {kind: "gone"}, {})
    with pytest.raises(UserError, match=r"gone\.json: there is no metric or task 'gone'"):
        load(path)


@pytest.mark.parametrize(
    ("name", "sparsity", "k"),
    [
        ("batchtopk_16x_k128", 128, 128),
        ("jumprelu_16x_l0_64", 64, 64),
        ("relu_16x_l1_0.001", 0.001, None),
    ],
)
def test_k_is_null_where_the_family_has_none(name, sparsity, k):
    source = described("clip", 11, name, "main")
    assert (source["sparsity"], source["k"]) == (sparsity, k)
    assert source["expansion_factor"] == 16


# ---------------------------------------------------------------- tasks


def test_a_task_comes_back_as_written(tmp_path):
    outcomes = {
        "reconstructed": Result(0.5, readings={"recall_at_5": 0.75}, data={"images": 3}),
        "codes": Result(None, "no two images of a class"),
    }
    write_result(tmp_path / "retrieval.json", "retrieval", outcomes, SAE, {"code": "x"})
    document = read_result(tmp_path / "retrieval.json")
    assert document["representations"]["reconstructed"]["value"] == 0.5
    assert document["representations"]["codes"]["reason"] == "no two images of a class"
    assert document["source"]["k"] == 128


@pytest.mark.parametrize(
    ("task", "outcomes", "of", "message"),
    [
        ("retrieval", {"raw": Result(1.5)}, RAW, "1.5 is greater than"),
        ("retrieval", {"codes": Result(0.5)}, RAW, "representations"),
        ("retrieval", {"raw": Result(0.5)}, SAE, "representations"),
        ("retrieval", {}, SAE, "representations"),
        ("retrieval", {"codes": Result(0.5, readings={"recall": 1.0})}, SAE, "recall"),
        ("sorting", {"raw": Result(0.5)}, RAW, "no metric or task 'sorting'"),
        ("segmentation", {"raw": Result(0.5, data={"n": -1})}, RAW, "data/n"),
    ],
)
def test_a_wrong_result_is_not_written(tmp_path, task, outcomes, of, message):
    with pytest.raises(UserError, match=message):
        write_result(tmp_path / "it.json", task, outcomes, of, {})
    assert not (tmp_path / "it.json").exists()


def test_a_task_of_each_data_set_has_one_schema(tmp_path):
    path = tmp_path / "classification_cub.json"
    write_result(path, "classification_cub", {"raw": Result(0.5)}, RAW, {})
    assert read_result(path)["task"] == "classification_cub"


# ---------------------------------------------------------------- schemas


def test_every_schema_is_a_valid_schema():
    paths = sorted(SCHEMAS.rglob("*schema.json"))
    assert len(paths) == 3 + len(EVALS.names())
    for path in paths:
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("name", [name for name in EVALS.names() if EVALS[name].as_run])
def test_every_reading_as_run_is_demanded_by_its_schema(name):
    schema = json.loads((SCHEMAS / name / "schema.json").read_text(encoding="utf-8"))
    assert "as_run" in schema["properties"]["readings"]["required"]


def test_the_definition_of_as_run_stands_in_the_details(tmp_path, score):
    write_result(tmp_path / "x.json", "fvu", score, SAE, {})
    said = read_result(tmp_path / "x.json")["details"]["as_run"]
    assert said["definition"].startswith("(Σr²/n")
    assert said["warning"] is None
    assert "as_run" not in score.details
