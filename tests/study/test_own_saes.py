"""SAEs that people name themselves: read from their files, side by side, refused in a sentence."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from study_fixtures import demo_config, paper_config

from visae.base.errors import UserError
from visae.sae.specs import SaeSpec
from visae.study import checks, own_saes
from visae.study.study import Study

CHECKPOINTS = Path(__file__).parents[1] / "sae" / "exchange" / "checkpoints"
TOPK, GATED = CHECKPOINTS / "dictionary_learning/topk", CHECKPOINTS / "sae_lens/gated"
OVERCOMPLETE = CHECKPOINTS / "overcomplete"
OPEN = OVERCOMPLETE / "topk_trained"  # neither family nor K are in its files
PLACE = {"backbones": ["deep"], "layer": 11}  # of the checkpoints


def study(**sweep):
    """The demo's study with a backbone of twelve blocks and one more sweep, `own`."""
    config = demo_config()
    deep = config["backbones"]["dino_small"] | {"label": "Deep", "layer": 11}
    deep["options"] = deep["options"] | {"depth": 12}
    config["backbones"]["deep"] = deep
    config["sweeps"]["own"] = PLACE | sweep
    return Study(config)


def specs(**saes):
    return {spec.name: spec for spec in study(saes=saes).sweeps["own"].saes}


def test_a_name_and_a_folder_are_enough():
    [spec] = study(saes={"my_first": str(TOPK)}).sweeps["own"].saes
    assert spec == SaeSpec("topk", 4, 8, "my_first")
    assert (spec.name, spec.configuration) == ("my_first", "topk_4x_k8")
    assert SaeSpec.from_text(spec.text) == spec


def test_several_of_one_configuration_stand_side_by_side(tmp_path):
    copy = shutil.copytree(TOPK, tmp_path / "again")
    found = specs(one=str(TOPK), two=str(copy))
    assert [(name, spec.configuration) for name, spec in found.items()] == [
        ("one", "topk_4x_k8"),
        ("two", "topk_4x_k8"),
    ]


def test_one_folder_may_have_two_names():
    sweep = study(saes={"one": str(TOPK), "two": str(TOPK)}).sweeps["own"]
    assert [spec.text for spec in sweep.saes] == ["one=topk_4x_k8", "two=topk_4x_k8"]
    files = own_saes.files(sweep.folders["deep"].values())
    assert str(TOPK / "ae.pt") in files
    assert len(files) == len(set(files))


def test_sparsity_that_no_file_has_is_unknown():
    assert specs(gate=str(GATED))["gate"].sparsity is None
    assert specs(gate={"folder": str(GATED), "k": 12})["gate"].sparsity == 12


def test_what_files_leave_open_is_asked_for():
    reading = {"input": "raw"}
    with pytest.raises(UserError, match=r"`family` beside its folder at sweeps.own.saes.mine"):
        study(saes={"mine": str(OPEN)}, reading=reading)
    with pytest.raises(UserError, match=r"`k` beside its folder at sweeps.own.saes.mine"):
        study(saes={"mine": {"folder": str(OPEN), "family": "topk"}}, reading=reading)
    told = {"folder": str(OPEN), "family": "topk", "k": 8}
    [spec] = study(saes={"mine": told}, reading=reading).sweeps["own"].saes
    assert spec.configuration == "topk_4x_k8"


@pytest.mark.parametrize(
    ("sae", "said", "configuration"),
    [
        ("relu", {"family": "relu"}, "relu_4x_"),
        ("jumprelu", {}, "jumprelu_4x_"),
        ("jumprelu", {"family": "jumprelu", "k": 8}, "jumprelu_4x_l0_8"),
        ("batchtopk", {"family": "matryoshka", "k": 8}, "matryoshka_4x_k8"),
    ],
)
def test_files_that_leave_the_family_open_are_read_by_the_one_that_is_said(
    sae, said, configuration
):
    """K is asked for only where codes depend on it."""
    saes = {"mine": {"folder": str(OVERCOMPLETE / sae)} | said}
    [spec] = study(saes=saes, reading={"input": "raw"}).sweeps["own"].saes
    assert spec.configuration == configuration


def test_a_k_is_no_coefficient():
    with pytest.raises(UserError, match=r"saes\.a\.k is 32, but ReLU \+ L1 .*: take it out"):
        study(saes={"a": {"folder": str(CHECKPOINTS / "sae_lens/standard"), "k": 32}})


@pytest.mark.parametrize(
    ("sweep", "sentence"),
    [
        ({"saes": {"a": "nowhere"}}, r"saes\.a is 'nowhere', which is not a folder"),
        ({"saes": {"a": "hf://owner/name"}}, "is hf://owner/name, a repository.*`published`"),
        ({"saes": {"a": str(TOPK)}, "grid": {"k": [8]}}, "both saes and grid"),
        ({"saes": {"a": str(TOPK)}, "published": {"deep": "x"}}, "both saes and published"),
        ({"saes": {"a": str(TOPK)}, "variant": "b"}, "both saes and variant"),
        ({"saes": {"a": str(TOPK)}, "family": "relu"}, "family is relu.*of family topk"),
        ({"saes": {"a": str(TOPK), "b": str(GATED)}}, "families .* and .*; make a sweep for each"),
        ({"saes": {"raw": str(TOPK)}}, "name of no SAE.*topk_4x_k8: choose another"),
        ({"saes": {"topk_8x_k8": str(TOPK)}}, "name of another SAE.*topk_4x_k8: choose another"),
        ({"saes": {"gated_4x_l0_8": str(GATED)}}, "name of another SAE.*gated_4x_: choose another"),
        ({"saes": {"a": {"k": 8}}}, "saes.a lacks the key 'folder'"),
        ({"saes": {"A b": str(TOPK)}}, "A b"),
        ({"saes": {}}, "saes"),
        ({"saes": {"a": {"folder": {"other": "x"}}}}, r"a\.folder is for other, but .* on deep"),
        ({"saes": {"a": str(TOPK)}, "layer": 3}, "block 11, but the sweep reads block 3"),
        ({"saes": {"a": str(TOPK)}, "backbones": ["deep", "deit_small"]}, "is one folder, but"),
        ({"family": "topk"}, "lacks the key 'grid'; add it, or name SAEs that you have in saes"),
    ],
)
def test_mistakes_are_told_in_one_sentence(sweep, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        study(**sweep)
    assert "\n" not in str(error.value)


def test_an_sae_for_activations_of_another_width_is_refused_before_any_is_extracted():
    """Where the backbone's shape is known; elsewhere as soon as it was measured."""
    config = paper_config()
    config["sweeps"]["own"] = {"backbones": ["clip"], "layer": 11, "saes": {"mine": str(TOPK)}}
    said = (
        "config: sweeps.own.saes.mine is for activations of width 24, but those of clip have width "
        "768: name the backbone that the SAE was trained on"
    )
    with pytest.raises(UserError) as error:
        Study(config)
    assert str(error.value) == said
    measured = study(saes={"a": str(TOPK)})
    width = measured.sweeps["own"].widths["deep"]["a"]
    for found, sentences in ((width, 0), (width + 1, 1)):
        geometries = dict.fromkeys(measured.backbones)
        geometries["deep"] = SimpleNamespace(width=found)
        assert len(list(checks.sizes_in(measured, geometries))) == sentences


def test_variables_are_written_out(monkeypatch):
    monkeypatch.setenv("SAES", str(TOPK.parent))
    assert study(saes={"a": "$SAES/topk"}).sweeps["own"].folders == {"deep": {"a": str(TOPK)}}


def test_what_an_inspection_wrote_is_taken_while_the_files_are_older(tmp_path, monkeypatch):
    """The Snakefile is parsed by every job: torch reads weights once."""
    folder = shutil.copytree(TOPK, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    found = {"folder": str(folder), "family": "topk", "features": 48, "width": 24, "k": 4}
    monkeypatch.setattr(own_saes, "read_document", lambda *_: {"saes": {"mine": found}})
    written = tmp_path / "inspected.json"
    written.write_text(json.dumps({}))
    ask = (folder, 11, {}, written, "sweeps.own.saes.mine")
    spec, width = own_saes.spec("mine", str(folder), *ask)
    assert (spec.configuration, width) == ("topk_2x_k4", 24)
    later = written.stat().st_mtime + 5
    os.utime(folder / "ae.pt", (later, later))
    spec, _ = own_saes.spec("mine", str(folder), *ask)
    assert spec.configuration == "topk_4x_k8"


def test_a_variant_lets_sweeps_train_the_same_grid():
    config = demo_config()
    config["sweeps"]["again"] = config["sweeps"]["main"] | {"variant": "again"}
    names = Study(config).sweeps["again"].sae_names()
    assert names[0] == "batchtopk_4x_k8_again"
    assert Study(config).sweeps["again"].saes[0].configuration == "batchtopk_4x_k8"
    del config["sweeps"]["again"]["variant"]
    with pytest.raises(UserError, match=r"as sweeps.*, an SAE batchtopk_4x_k8 .* give.*`variant`"):
        Study(config)
