"""The config in the repository: the paper's study in full."""

import pytest
from study_fixtures import as_run_config, demo_config, kept_config, paper_config, released_config

from visae.study import roles
from visae.study.study import Study


def test_paper_study_is_the_papers():
    study = Study(paper_config())
    main = study.sweeps["main"]
    assert len(main.saes) * len(main.backbones) == 60
    assert {spec.expansion_factor for spec in main.saes} == {8, 16, 32}
    assert {spec.k for spec in main.saes} == {64, 128, 192, 256}
    assert set(main.layers.values()) == {11}
    jumprelu = study.sweeps["jumprelu"]
    assert len(jumprelu.saes) * len(jumprelu.backbones) == 20
    assert set(study.sweeps["layer_3"].backbones) == {"clip", "dinov2", "siglip"}
    assert len(study.saes()) == 60 + 20 + 36 + 2
    evaluators = {name: study.backbones[name]["evaluator"] for name in main.backbones}
    assert evaluators == {
        "dinov2": "clip",
        "clip": "dinov2",
        "siglip": "dinov2",
        "deit": "clip",
        "mae": "clip",
    }


def test_paper_training_is_table_1():
    settings = Study(paper_config()).training_settings(roles.main(Study(paper_config())))
    assert settings["batch_size"] == 8192
    assert settings["learning_rate"] == 1e-3
    assert settings["epochs"] == 1
    assert settings["seed"] == 42
    assert settings["gradient_clip"] == 1.0
    assert settings["precision"] == "float16"


def test_training_settings_are_those_of_the_library():
    from visae.sae.specs import TrainingSettings

    for config in (paper_config(), demo_config(), as_run_config(), released_config()):
        study = Study(config)
        for sweep in study.sweeps.values():
            TrainingSettings(**study.training_settings(sweep))


IMPORTED = {"published": {"clip": "data/clip-saes"}}


@pytest.mark.parametrize(
    ("name", "value", "changes"),
    [
        ("loss", "sum", {"main", "jumprelu"}),
        ("gradient_clip", None, {"main", "jumprelu"}),
        ("ragged_images", 5000, {"main", "jumprelu"}),
        ("batch_size", 4096, {"main", "jumprelu"}),
        ("threshold_rule", "batch_minimum", {"main", "released"}),
        ("threshold_images", 84, {"main", "jumprelu", "released"}),
        ("checkpoint_minutes", 1, set()),
    ],
)
def test_a_training_setting_changes_the_sweeps_that_it_decides(name, value, changes):
    def settings(**training):
        config = paper_config()
        config["extraction"] = {"chunk_images": 50}
        chosen = {sweep: config["sweeps"][sweep] for sweep in ("main", "jumprelu")}
        grid = {"expansion_factor": [4], "k": [64]}
        config["sweeps"] = chosen | {"released": {"family": "batchtopk", "grid": grid} | IMPORTED}
        config["training"] |= training
        study = Study(config)
        return {sweep: study.training_settings(study.sweeps[sweep]) for sweep in config["sweeps"]}

    before, after = settings(), settings(**{name: value})
    assert {sweep for sweep in before if before[sweep] != after[sweep]} == changes


def test_windows_are_no_setting_of_ragged_shards():
    config = kept_config()
    main = Study(config).training_settings(Study(config).sweeps["main"])
    assert "window_images" in main
    config["extraction"] = {"chunk_images": 50}
    config["training"]["ragged_images"] = 5000
    ragged = Study(config)
    assert "window_images" not in ragged.training_settings(ragged.sweeps["main"])
