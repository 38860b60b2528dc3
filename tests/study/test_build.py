"""Small decisions between a config and the parts of a study."""

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
