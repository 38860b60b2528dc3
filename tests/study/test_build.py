"""Small decisions between a config and the parts of a study."""

import copy
from types import SimpleNamespace

import pytest
from study_fixtures import demo_config, paper_config

from visae.base.errors import UserError
from visae.study import build
from visae.study import config as configs
from visae.study.config_files import _tab_before
from visae.study.study import Study


def test_a_task_of_each_data_set_stands_alone_where_there_is_none():
    """So that it can be said why it is not computed."""
    study = Study(paper_config())
    found = build.tasks(study.config, study.cross_domain)
    assert found["classification_cub"] == "cub"
    assert "classification" not in found
    alone = build.tasks(study.config, {})
    assert "classification" in alone
    assert not any(name.startswith("classification_") for name in alone)
    assert set(found) - set(alone) == {f"classification_{name}" for name in study.cross_domain}


@pytest.mark.parametrize(
    ("kinds", "value"),
    [
        ({"number"}, 0.001),
        ({"integer"}, 0.001),
        ({"number", "null"}, 0.001),
        ({"string"}, "1e-3"),
        ({"string", "number"}, "1e-3"),
        ({"object"}, "1e-3"),
        (set(), 0.001),
    ],
)
def test_text_that_yaml_should_have_read_as_a_number(kinds, value):
    assert configs._number("1e-3", kinds) == value
    assert configs._number("1e3", {"integer"}) == 1000
    assert type(configs._number(8.0, {"number"})) is int
    assert type(configs._number(8.0, set())) is float
    assert configs._number(8.5, {"number"}) == 8.5
    assert configs._number("eight", {"number"}) == "eight"


def test_a_tab_up_to_the_place_counts_and_none_behind_it():
    lines = ["a:\tb"]
    places = [(0, 0), (0, 1), (0, 2), (1, 0)]
    marks = [SimpleNamespace(line=line, column=column) for line, column in places]
    assert [_tab_before(lines, mark) for mark in marks] == [False, False, True, False]


def test_a_config_is_written_once_and_again_when_it_changes(tmp_path):
    path = tmp_path / "results" / "config.yaml"
    path.parent.mkdir()
    config = demo_config()
    configs.write_config(config, path)
    first = path.stat().st_mtime_ns, path.stat().st_ino
    configs.write_config(config, path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == first
    configs.write_config(config | {"seed": 7}, path)
    assert "seed: 7" in path.read_text("utf-8")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) != first


@pytest.mark.parametrize(
    ("layout", "shares", "refusal"),
    [
        ("imagefolder", (0.8, 0.2), None),
        ("imagefolder", (0.5, 0.2), None),
        ("imagefolder", (0.8, 0.3), "give each split a `share` of the one folder"),
        ("imagefolder", (0.8, None), "give each split a `share` of the one folder"),
        ("imagenet", (0.8, 0.2), "which the layout imagenet has not; take `share` out"),
    ],
)
def test_shares_of_one_folder_are_of_all_splits_and_at_most_the_whole(layout, shares, refusal):
    config = demo_config()
    splits = [{} if share is None else {"share": share} for share in shares]
    config["datasets"]["own"] = {
        "layout": layout, "root": "/data/own", "splits": dict(zip("ab", splits, strict=True))
    }  # fmt: skip
    if refusal is None:
        assert "own" in Study(config).config["datasets"]
        return
    with pytest.raises(UserError, match=refusal):
        Study(config)


@pytest.mark.parametrize("key", ["saes", "named"])
def test_saes_with_pages_are_the_studys_own(key):
    config = demo_config()
    sae = Study(config).saes()[0]
    name = f"{sae.place}/{sae.name}"
    other = f"{sae.place}/batchtopk_99x_k1"
    chosen = {other: [3]} if key == "named" else [other]
    with pytest.raises(UserError, match=rf"features\.{key} names the SAE '.*99x_k1', which the"):
        Study(config | {"features": {key: chosen}})
    assert Study(config | {"features": {"saes": [name]}}).config["features"]["saes"] == [name]


@pytest.mark.parametrize("named", [[], ["jumprelu"], ["layer_3", "jumprelu"], ["main"]])
def test_tasks_are_done_on_the_first_sweep_and_on_those_that_are_named(named):
    config = paper_config()
    config["downstream"]["sweeps"] = named
    found = Study(config).downstream_sweeps
    assert [sweep.name for sweep in found] == list(dict.fromkeys(["main", *named]))


@pytest.mark.parametrize("number", [2, 3])
def test_a_replicate_differs_in_its_name_its_seeds_and_what_is_in_its_folder(number):
    config = demo_config() | {"replicates": [2, 3]}
    config["backbones"]["mae_small"]["seed"] = 5
    before = copy.deepcopy(config)
    found = configs.replicated(config, number)
    assert config == before
    assert found["study"] == f"demo_{number}"
    assert found["replicates"] == []
    for name, entry in found["backbones"].items():
        own = config["backbones"][name]
        assert entry["seed"] - own.get("seed", 0) == 1000 * (number - 1)
        moved = own["weights"].replace("results/demo/", f"results/demo_{number}/")
        assert entry == own | {"seed": entry["seed"], "weights": moved}
    rest = {key: found[key] for key in found if key not in ("study", "backbones", "replicates")}
    own = {key: config[key] for key in config if key not in ("study", "backbones", "replicates")}
    assert str(rest) == str(own).replace("results/demo/", f"results/demo_{number}/")


def test_a_study_may_be_called_like_a_part_of_its_folder():
    config = {"study": "result", "backbones": {}, "root": "results/result/data"}
    assert configs.replicated(config, 2)["root"] == "results/result_2/data"


@pytest.mark.parametrize(
    ("own", "over", "both"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": 1}, {"c": {"b": 2}}, {"a": 1, "c": {"b": 2}}),
    ],
)
def test_an_arm_changes_what_it_names_at_any_depth(own, over, both):
    assert configs._merged(own, over) == both
