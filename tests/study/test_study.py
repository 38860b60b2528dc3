"""The config in the repository: the paper's study in full."""

from study_fixtures import demo_config, paper_config

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

    for config in (paper_config(), demo_config()):
        study = Study(config)
        for sweep in study.sweeps.values():
            TrainingSettings(**study.training_settings(sweep))
