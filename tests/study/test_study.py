"""The config: the paper's study in full, and one clear sentence for every mistake in it."""

import jsonschema
import pytest
from study_fixtures import change, demo_config, paper_config

from visae.base.errors import UserError
from visae.study.config import load_schema
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
    settings = Study(paper_config()).training_settings(Study(paper_config()).main)
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


@pytest.mark.parametrize(
    "path,value,sentence",
    [
        ("sweep", {}, "the config has the unknown key 'sweep'; did you mean 'sweeps'?"),
        (
            "backbones.clip.loadr",
            "timm",
            "backbones.clip has the unknown key 'loadr'; did you mean 'loader'?",
        ),
        ("backbones.clip.loader", "tim", "backbones.clip.loader is 'tim'.*did you mean 'timm'?"),
        ("backbones.clip.layer", "last", "backbones.clip.layer is 'last'.*integer"),
        ("backbones.clip.evaluator", "clip", "evaluator is 'clip' itself.*name another"),
        ("backbones.clip.evaluator", "dino", "evaluator is 'dino', which is not in backbones"),
        ("datasets.imagenet.layout", "image_net", "layout is 'image_net'.*did you mean 'imagenet'"),
        ("training.dataset", "imagnet", "training names the data set 'imagnet'"),
        ("training.split", "test", r"names the split 'test'.*datasets\.imagenet\.splits"),
        ("training.batch_size", 0, "training.batch_size is 0.*minimum of 1"),
        ("training.threshold_split", "x", "training.threshold_split names the split 'x'"),
        ("sweeps.main.backbones", ["vit"], "sweeps.main.backbones names 'vit'"),
        ("sweeps.main.grid", {"k": [1]}, "sweeps.main.grid has the keys k; a grid of family"),
        ("sweeps.main.recipe", "paper", "sweeps.main.recipe is for JumpReLU"),
        ("sweeps.main.family", "gated", "sweeps.main.family is 'gated'.*use one of batchtopk"),
        ("sweeps.layer_3.layer", 11, "main and layer_3 both train batchtopk_8x_k64 on clip"),
        ("metrics.cross_domain.headline", "cars", "headline is 'cars'"),
        ("evaluation.split", "train", "evaluation and training are both imagenet/train"),
        (
            "metrics.cross_domain.datasets.cub.test",
            "train",
            r"cross_domain\.datasets\.cub has the split 'train' for both train and test",
        ),
        (
            "downstream.segmentation.test",
            "training",
            "downstream.segmentation has the split 'training' for both",
        ),
        (
            "sweeps.main.grid.k",
            [64, 128],
            "sweeps.token_order begins with batchtopk_16x_k192, which the main sweep 'main' lacks",
        ),
        ("sweeps.main.grid.k", [64.5], r"sweeps\.main\.grid: sparsity 64.5 of a batchtopk SAE"),
        ("sweeps.main.grid.k", [64, 64], r"sweeps\.main\.grid\.k is \[64, 64\].*non-unique"),
        ("metrics.sparse_probing", {"budgets": [2048]}, "budgets.*maximum of 1024"),
        ("study", "My Study", "study is 'My Study'"),
        ("seed", "42", "seed is '42', but must be of type integer"),
    ],
)
def test_mistakes_are_told_in_one_sentence(path, value, sentence):
    config = paper_config()
    change(config, path, value)
    with pytest.raises(UserError, match=sentence) as error:
        Study(config)
    assert "\n" not in str(error.value)


def test_missing_key_is_named():
    config = paper_config()
    del config["backbones"]["mae"]["evaluator"]
    with pytest.raises(UserError, match=r"backbones\.mae lacks the key 'evaluator'"):
        Study(config)


def test_demo_follows_the_same_schema():
    study = Study(demo_config())
    assert study.coarse
    assert len(study.main.backbones) == 5
    assert study.metrics() == Study(paper_config()).metrics()


def test_coarse_and_fine_cut_the_same_work():
    fine, coarse = paper_config(), paper_config()
    coarse["granularity"] = "coarse"
    fine, coarse = Study(fine), Study(coarse)
    pairs = [
        (fine.extraction_batches(), coarse.extraction_batches()),
        (fine.encoding_batches(), coarse.encoding_batches()),
        (fine.probe_batches(), coarse.probe_batches()),
        (fine.ranking_batches(fine.main), coarse.ranking_batches(coarse.main)),
        (fine.scoring_batches(fine.main), coarse.scoring_batches(coarse.main)),
    ]
    for of_fine, of_coarse in pairs:
        items = [[item for _, part in batches for item in part] for batches in (of_fine, of_coarse)]
        assert items[0] == items[1]
        assert len(of_coarse) == 1


def test_jobs_are_cut_by_data_set_and_by_shard():
    config = paper_config()
    config["datasets"]["cub"]["splits"]["train"]["shards"] = 2
    study = Study(config)
    names = {name: [split.split for split in part] for name, part in study.extraction_batches()}
    assert names["imagenet_train"] == ["train"]
    assert names["cub_train"] == ["train"]
    assert names["cub_test"] == ["test"]
    assert names["dtd"] == ["trainval1", "test1"]
    assert "cub" not in names
    names = [name for name, _ in study.encoding_batches(study.main)]
    assert names == ["imagenet_val", "inaturalist", "cub", "dtd"]
    assert [name for name, _ in study.encoding_batches(study.control)] == ["imagenet_val"]
    rankings = study.ranking_batches(study.main)
    assert rankings == [("imagenet", ["imagenet"]), ("cross_domain", ["inaturalist", "cub", "dtd"])]
    assert study.ranking_batches(study.control) == [("imagenet", ["imagenet"])]


def test_control_pairs_each_permuted_backbone_with_its_raster_self():
    study = Study(paper_config())
    assert study.control.name == "token_order"
    assert study.control_arms() == [("mae", "mae_permuted"), ("dinov2", "dinov2_permuted")]
    assert Study(demo_config()).control_arms() == [("mae_small", "mae_permuted")]
    assert set(study.control.sae_names()) <= set(study.main.sae_names())
    assert study.early.name == "layer_3"
    assert study.compared_layers == (3, 11)
    assert study.second_family.name == "jumprelu"


def test_audited_sae_is_the_papers_or_the_nearest():
    config = paper_config()
    assert Study(config).audited.name == "batchtopk_16x_k192"
    for grid, name in (
        ({"expansion_factor": [4, 64, 8], "k": [128, 256]}, "batchtopk_8x_k256"),
        ({"expansion_factor": [8, 32], "k": [400, 100]}, "batchtopk_8x_k100"),
    ):
        config["sweeps"]["main"]["grid"] = grid
        config["sweeps"]["token_order"]["grid"] = {key: value[:1] for key, value in grid.items()}
        assert Study(config).audited.name == name
    assert Study(demo_config()).audited.name == "batchtopk_8x_k24"


def test_audits_are_one_job_per_backbone_or_one_in_all():
    main = ["dinov2", "clip", "siglip", "mae", "deit"]
    assert Study(paper_config()).audit_batches() == [(name, [name]) for name in main]
    config = paper_config() | {"granularity": "coarse"}
    assert Study(config).audit_batches() == [("all", main)]


def test_sweep_with_few_metrics_needs_the_evaluation_split_only():
    study = Study(paper_config())
    assert study.control.metrics == ("localization", "fvu")
    assert study.encoding_batches(study.control) == [("imagenet_val", [study.evaluation])]


def test_published_saes_name_their_backbones():
    config = paper_config()
    config["sweeps"]["released"] = {
        "family": "batchtopk",
        "published": {"clip": "data/clip-saes"},
        "layer": 8,
        "grid": {"expansion_factor": [16], "k": [128]},
    }
    assert Study(config).sweeps["released"].layers == {"clip": 8}
    config["sweeps"]["released"]["backbones"] = ["clip"]
    with pytest.raises(UserError, match="both published and backbones"):
        Study(config)


def test_pretraining_starts_from_random_weights():
    config = demo_config()
    study = Study(config)
    assert study.weights("dino_small") == "results/demo/pretraining/dino_small/weights.safetensors"
    config["backbones"]["dino_small"]["weights"] = "pretrained"
    with pytest.raises(UserError, match="both pretraining and weights 'pretrained'"):
        Study(config)


def test_batches_of_a_sweep_cover_it():
    config = paper_config()
    config["sweeps"]["main"]["batches"] = 5
    jobs = Study(config).main.training_batches()
    names = [name for _, part in jobs for name in part]
    assert names == Study(paper_config()).main.sae_names()
    assert len({job for job, _ in jobs}) == len(jobs)
