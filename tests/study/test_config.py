"""The schema of the config: it describes every key, and the demo follows it."""

import os
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml
from study_fixtures import demo_config, paper_config

from visae.base.errors import UserError
from visae.base.seals import beside
from visae.study import roles
from visae.study.config import load_schema, problems, read_config, write_config
from visae.study.study import Study


def test_demo_follows_the_same_schema():
    study = Study(demo_config())
    assert len(roles.main(study).backbones) == 5
    assert study.metrics() == Study(paper_config()).metrics()


def test_schema_is_a_schema_and_describes_every_key():
    schema = load_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    def undescribed(node, path):
        for key, sub in node.get("properties", {}).items():
            if "description" not in sub and "$ref" not in sub:
                yield f"{path}.{key}"
            yield from undescribed(sub, f"{path}.{key}")
        if isinstance(node.get("additionalProperties"), dict):
            yield from undescribed(node["additionalProperties"], path)

    assert list(undescribed(schema, "config")) == []
    for name, definition in schema["$defs"].items():
        assert list(undescribed(definition, name)) == []


def test_missing_key_is_named():
    config = paper_config()
    del config["backbones"]["mae"]["layer"]
    with pytest.raises(UserError, match=r"backbones\.mae lacks the key 'layer'"):
        Study(config)


@pytest.mark.parametrize("spelled", ["11.0", "1.1e1", "'11'", "1.1e+1"])
def test_numbers_mean_the_same_however_they_are_spelled(spelled):
    plain, other = demo_config(), demo_config()
    name = next(iter(plain["backbones"]))
    plain["backbones"][name]["options"] = other["backbones"][name]["options"] = {}
    plain["backbones"][name] |= {"layer": 11, "model": "vit_base_patch16_224.mae"}
    other["backbones"][name] |= plain["backbones"][name] | {"layer": yaml.safe_load(spelled)}
    if spelled == "'11'":  # text in quotes is meant as text
        with pytest.raises(UserError, match=rf"{name}\.layer is '11', but must be a whole"):
            Study(other)
    else:
        assert repr(Study(other).config) == repr(Study(plain).config)


def test_numbers_in_grids_and_exponents_without_a_point():
    plain, other = demo_config(), demo_config()
    sweep = next(iter(plain["sweeps"]))
    for config, number in ((plain, int), (other, float)):
        grid = config["sweeps"][sweep]["grid"]
        config["sweeps"][sweep]["grid"] = {k: [number(v) for v in vs] for k, vs in grid.items()}
    plain["training"]["learning_rate"] = 0.001
    other["training"]["learning_rate"] = yaml.safe_load("1e-3")
    assert other["training"]["learning_rate"] == "1e-3"
    assert repr(Study(other).config) == repr(Study(plain).config)
    other["training"]["learning_rate"] = "one"
    with pytest.raises(UserError, match="learning_rate is 'one'"):
        Study(other)


@pytest.mark.parametrize("number", ["11.5", ".nan", ".inf", "1e400"])
def test_numbers_that_are_not_whole_are_refused(number):
    config = demo_config()
    config["backbones"][next(iter(config["backbones"]))]["layer"] = yaml.safe_load(number)
    with pytest.raises(UserError, match=r"layer is .*whole number"):
        Study(config)


def test_home_and_environment_variables_in_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/disk")
    config = paper_config()
    config["datasets"]["cub"]["root"] = "~/cub"
    config["datasets"]["dtd"]["root"] = "${DATA}/$DATA/dtd"
    config["backbones"]["clip"]["weights"] = "$DATA/clip.pt"
    config["sweeps"]["theirs"] = {
        "family": "batchtopk",
        "grid": {"expansion_factor": [8], "k": [7]},
        "published": {"clip": "~/saes"},
    }
    checked = Study(config).config
    assert checked["datasets"]["cub"]["root"] == "/home/me/cub"
    assert checked["datasets"]["dtd"]["root"] == "/disk//disk/dtd"
    assert checked["backbones"]["clip"]["weights"] == "/disk/clip.pt"
    assert checked["backbones"]["mae"]["weights"] == "pretrained"
    assert checked["sweeps"]["theirs"]["published"] == {"clip": "/home/me/saes"}
    config["datasets"]["dtd"]["root"] = "$NOWHERE/dtd"
    with pytest.raises(UserError, match=r"datasets\.dtd\.root is '\$NOWHERE/dtd', but \$NOWHERE"):
        Study(config)


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf"])
def test_what_is_no_number_is_refused(text):
    config = demo_config()
    config["training"]["learning_rate"] = yaml.safe_load(text)
    with pytest.raises(UserError, match=r"config: [\w.]+ is (nan|-?inf)"):
        Study(config)


def numbers_replaced(value, number, where=()):
    """`value` with all its numbers replaced, and the places of these."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        made = {key: numbers_replaced(item, number, (*where, key)) for key, item in items}
        changed = {key: item for key, (item, _) in made.items()}
        kept = changed if isinstance(value, dict) else list(changed.values())
        return kept, [place for _, places in made.values() for place in places]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number, [".".join(map(str, where))]
    return value, []


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf"])
def test_every_number_that_is_none_is_said_once(text):
    config = demo_config()
    config["sweeps"]["main"]["training"] = {
        **{"encoder_from_decoder": 1.0, "auxiliary": {"dead_after": 1000, "coefficient": 0.1}},
        "adam_beta1": 0.9,
    }
    config["arms"] = {"slow": {"training": {"learning_rate": 1.0}}}
    wrong, places = numbers_replaced(config, yaml.safe_load(text))
    assert len(places) > 60
    # Of a list that says one thing twice now.
    found = [each for each in problems(wrong) if "each value once" not in each]
    for place in places:
        said = f"config: {place} is {yaml.safe_load(text)}"
        assert sum(said in each for each in found) == 1, place
    assert len(found) == len(places)
    for place in ("encoder_from_decoder", "adam_beta1"):
        one = demo_config()
        one["sweeps"]["main"]["training"] = {place: yaml.safe_load(text)}
        with pytest.raises(UserError, match=rf"sweeps\.main\.training\.{place} is (nan|-?inf)"):
            Study(one)


def test_a_list_and_each_of_its_values_is_said():
    """The first error is of the list; the first value has the same number."""
    config = demo_config()
    config["sweeps"]["jumprelu"]["grid"]["target_l0"] = [-1, -1, -2]
    found = problems(config)
    place = "config: sweeps.jumprelu.grid.target_l0"
    for said in (" is [-1, -1, -2]", ".0 is -1", ".1 is -1", ".2 is -2"):
        assert sum(each.startswith(place + said) for each in found) == 1
    assert len(found) == 4


def test_every_key_that_is_missing_is_said():
    config = demo_config()
    for key in ("paradigm", "model"):
        del config["backbones"]["dino_small"][key]
    sentences = [f"backbones.dino_small lacks the key '{key}'" for key in ("model", "paradigm")]
    found = sorted(problems(config))
    assert len(found) == 2
    assert all(said in each for said, each in zip(sentences, found, strict=True))


# ---------------------------------------------------------------- beside the results

ARM = "a/arms/tied/results/a"
"""Where an arm of the study `a` has its results, seen from those of all studies."""


def put(path, other):
    """Put the config at `path`, with its seal, in the place of `other`."""
    for own, target in ((path, other), (beside(path), beside(other))):
        shutil.copy(own, target)


@pytest.mark.parametrize(("own", "other"), [("a", "b"), ("a", ARM), (ARM, "a")])
def test_a_config_of_another_study_is_refused(tmp_path, monkeypatch, own, other):
    """With its seal and whole; an arm has the study's name."""
    for folder in (own, other):  # as a run does, from the folder that holds `results`
        home = tmp_path / "results" / folder
        home.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(home.parents[1])
        write_config({"study": home.name, "seed": len(folder)}, f"results/{home.name}/config.yaml")
        assert read_config("results" / Path(home.name, "config.yaml"))["seed"] == len(folder)
    put(*(tmp_path / "results" / folder / "config.yaml" for folder in (other, own)))
    with pytest.raises(UserError, match=r"is a copy of .*: run the study again or, where its"):
        read_config(tmp_path / "results" / own / "config.yaml")


def test_a_study_may_be_moved_but_not_renamed(tmp_path, monkeypatch):
    (tmp_path / "results/a").mkdir(parents=True)
    write_config({"study": "a"}, tmp_path / "results/a/config.yaml")
    moved = tmp_path / "archive" / "a"
    shutil.copytree(tmp_path / "results/a", moved)
    monkeypatch.chdir(moved)
    assert read_config("config.yaml") == read_config(moved / "config.yaml") == {"study": "a"}
    os.rename(moved, moved.with_name("old"))
    with pytest.raises(UserError, match=r"old/config.yaml is a copy of 'a/config.yaml'.*old name"):
        read_config(moved.with_name("old") / "config.yaml")
