"""One clear sentence for every mistake in a config."""

import pytest
from study_fixtures import as_run_config, change, demo_config, kept_config, paper_config

from visae.base.errors import UserError
from visae.products.table_5 import ENTRY as table_5
from visae.study.storage import of_blocks
from visae.study.study import Study


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
        ("backbones.clip.layer", "last", "backbones.clip.layer is 'last'.*whole number"),
        ("backbones.clip.evaluator", "clip", "evaluator is 'clip' itself.*name another"),
        ("backbones.clip.evaluator", "dino", "evaluator is 'dino', which is not in backbones"),
        ("datasets.imagenet.layout", "image_net", "layout is 'image_net'.*did you mean 'imagenet'"),
        ("training.dataset", "imagnet", "training names the data set 'imagnet'"),
        ("training.split", "test", r"names the split 'test'.*datasets\.imagenet\.splits"),
        ("training.batch_size", 0, "training.batch_size is 0, but must be at least 1"),
        ("training.threshold_split", "x", "training.threshold_split names the split 'x'"),
        ("sweeps.main.backbones", ["vit"], "sweeps.main.backbones names 'vit'"),
        ("sweeps.main.grid", {"k": [1]}, "sweeps.main.grid has the keys k; a grid of family"),
        ("sweeps.main.recipe", "paper", "recipe is 'paper', which trains no BatchTopK SAEs: rem"),
        ("sweeps.main.family", "vanilla", "sweeps.main.family is 'vanilla'.*use one of batchtopk"),
        (
            "sweeps.layer_3.layer",
            11,
            "layer_3 has, as sweeps.main, an SAE batchtopk_8x_k64 on clip",
        ),
        (
            "sweeps.layer_3",
            {"family": "relu", "grid": {"expansion_factor": [8], "l1": [0.1, 0.1 + 1e-15]}},
            r"sweeps\.layer_3 has more than one SAE relu_8x_l1_0\.1 on dinov2.*; leave one in its",
        ),
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
        ("sweeps.main.grid.expansion_factor", [16, 1.5], r"grid\.expansion_factor: .* factor 1.5"),
        ("sweeps.main.grid.k", [64.5], r"sweeps\.main\.grid\.k: sparsity 64.5 of a batchtopk SAE"),
        (
            "sweeps.main.grid.k",
            [64, 64],
            r"grid\.k is \[64, 64\], but must have each value once",
        ),
        ("metrics.sparse_probing", {"budgets": [2048]}, "budgets.*at most 1024"),
        (
            "backbones.mae.token_order",
            "forward",
            "token_order is 'forward', which the loader 'timm' cannot.*set loader to transformers",
        ),
        ("training.ragged_images", 5000, "ragged_images is 5000, which is no multiple of .*, 64;"),
        ("study", "My Study", "study is 'My Study'"),
        (
            "features",
            {"saes": ["clip/layer11/batchtopk_16x_k129"]},
            "features.saes names the SAE '.*16x_k129'.*such as clip/layer11/batchtopk_16x_k192",
        ),
        (
            "features",
            {"named": {"clip/layer11/batchtopk_8x_k64": [3]}},
            "features.named has features of .*not one of the SAEs with pages.*features.saes",
        ),
        (
            "features",
            {"named": {"clip/layer11/batchtopk_16x_k192": [-1]}},
            "is -1.* at least 0",
        ),
        ("features", {"shown": 501}, "features.shown is 501, but must be at most 500"),
        ("features", {"query_image": []}, "unknown key 'query_image'; did you mean 'query_images'"),
        (
            "matches",
            {"pairs": [["clip/layer11/batchtopk_16x_k192", "mae/layer11/batchtopk_16x_k129"]]},
            "matches.pairs names the SAE 'mae/.*16x_k129', .*such as mae/layer11/batchtopk_16x_k1",
        ),
        (
            "matches",
            {"pairs": [["clip/layer11/batchtopk_16x_k192"] * 2]},
            "matches.pairs pairs clip/layer11/batchtopk_16x_k192 with itself.*name two SAEs",
        ),
        (
            "matches",
            {
                "pairs": [
                    ["clip/layer11/batchtopk_16x_k192", "mae/layer11/batchtopk_16x_k192"],
                    ["mae/layer11/batchtopk_16x_k192", "clip/layer11/batchtopk_16x_k192"],
                ]
            },
            "matches.pairs has mae/.* and clip/.* twice; take one of them out",
        ),
        (
            "matches",
            {"pairs": [["clip/layer11/batchtopk_16x_k192"]]},
            r"pairs\.0.* at least 2 values",
        ),
        ("matches", {"shuffles": 1}, "matches.shuffles is 1, but must be at least 2"),
        ("matches", {"patch_images": 1}, "matches.patch_images is 1, and .*to 2 at least, or to 0"),
        ("matches", {"quantile": 1.5}, "matches.quantile is 1.5, but must be at most 1"),
        ("seed", "42", "seed is '42', but must be a whole number; write 42, without quotes"),
    ],
)
def test_mistakes_are_told_in_one_sentence(path, value, sentence):
    config = paper_config()
    change(config, path, value)
    with pytest.raises(UserError, match=sentence) as error:
        Study(config)
    assert "\n" not in str(error.value)


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


def test_an_evaluator_is_needed_where_m5_is_asked_for_and_nowhere_else():
    config = demo_config()
    config["sweeps"] = {"main": config["sweeps"]["main"] | {"backbones": ["mae_small"]}}
    config["downstream"] = config["interventions"] = None
    del config["backbones"]["mae_small"]["evaluator"]
    with pytest.raises(UserError, match=r"mae_small has no evaluator.*metrics of sweeps\.main"):
        Study(config)
    config["sweeps"]["main"]["metrics"] = ["fvu", "localization"]
    assert table_5.settings(Study(config)) == {"evaluators": {"MAE (small)": None}}


def test_an_evaluator_may_lie_outside_the_sweep():
    config = demo_config()
    config["sweeps"] = {"main": config["sweeps"]["main"] | {"backbones": ["mae_small"]}}
    assert table_5.settings(Study(config)) == {"evaluators": {"MAE (small)": "CLIP (small)"}}


def test_another_studys_generated_data_are_refused():
    config = demo_config()
    config["study"] = "mine"
    with pytest.raises(
        UserError, match=r"photographs\.root is 'results/demo.*write results/mine/data"
    ):
        Study(config)


def test_a_control_without_its_counterpart_is_refused():
    config = demo_config()
    change(config, "backbones.mae_permuted.weights", "results/other/pretraining/mae_small/w")
    with pytest.raises(UserError, match="permutes the patches of mae_permuted, of which the main"):
        Study(config)


@pytest.mark.parametrize("named", ["siglip_vision_model", "a folder"])
def test_a_forward_pass_that_keeps_the_order_gives_none_of_its_own(named, tmp_path):
    config = as_run_config()
    (tmp_path / "config.json").write_text('{"model_type": "siglip_vision_model"}')
    model = str(tmp_path) if named == "a folder" else named
    config["backbones"]["siglip"] |= {"token_order": "forward", "model": model}
    with pytest.raises(UserError, match=r"leaves patches in raster.*name a model of type vit_mae"):
        Study(config)
    (tmp_path / "config.json").write_text('{"model_type": "vit_mae"}')
    config["backbones"]["siglip"]["model"] = str(tmp_path)
    Study(config)


def test_what_is_encoded_has_one_pair_of_statistics():
    config = paper_config()
    config["training"] |= {"dataset": "cub", "split": "train", "threshold_split": "test"}
    assert Study(config).training in Study(config).encoded_splits()
    config["evaluation"]["statistics"] = "own"
    with pytest.raises(UserError, match=r"statistics is own.*encode cub/train too.*cross_domain"):
        Study(config)


@pytest.mark.parametrize("evaluation", ["val", "other"])
def test_what_normalises_is_the_training_split_or_the_evaluation_split(evaluation):
    config = paper_config()
    config["datasets"]["imagenet"]["splits"]["other"] = {}
    config["evaluation"]["split"] = evaluation
    assert Study(config).statistics == Study(config).training
    config["evaluation"]["statistics"] = "own"
    assert Study(config).statistics.name == f"imagenet/{evaluation}"
    assert Study(as_run_config()).statistics.name == "imagenet/val"
    config["evaluation"]["statistics"] = "owns"
    with pytest.raises(UserError, match=r"statistics is 'owns'.*did you mean 'own'"):
        Study(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"on_bad_image": "skip"}, "storage is lean, which goes only with on_bad_image: fail"),
        (
            {"extraction": {"chunk_images": 64, "batch_size": 48}},
            "chunk_images is 64, which is not a whole number of batches of 48 images",
        ),
    ],
)
def test_what_lean_cannot_compute_as_a_cache_holds_it_is_refused(changes, said):
    Study(kept_config() | changes)
    with pytest.raises(UserError, match=said):
        Study(kept_config() | changes | {"storage": "lean"})
    with pytest.raises(UserError, match=said.replace("storage", "sweeps.layer_3.storage")):
        Study(paper_config() | changes)


def kept_as(storage, **sweeps):
    """The paper's config with a storage, and with that of some of its sweeps."""
    config = kept_config() | {"storage": storage}
    for name, own in sweeps.items():
        config["sweeps"][name]["storage"] = own
    return config


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            kept_as("full", jumprelu="lean"),
            "sweeps.jumprelu.storage is lean, but sweeps.main, which reads block 11 of dinov2 as "
            "well, has full; give both the same `storage`",
        ),
        (
            kept_as("lean", main="full", jumprelu="full"),
            "token_order.storage is lean, but sweeps.main, which reads block 11 of mae, of which "
            "mae_permuted is permuted as well, has full",
        ),
        (
            kept_as("full", main="lean"),
            "jumprelu.storage is full, but sweeps.main.* has lean",
        ),
        (kept_as("full", main="small"), "main.storage is 'small'.*use one of full, lean"),
    ],
)
def test_sweeps_of_a_block_keep_the_same_of_it(config, said):
    with pytest.raises(UserError, match=said):
        Study(config)


def test_blocks_that_no_sweep_reads_have_the_studys_storage_and_others_their_sweeps():
    three = {name: "lean" for name in ("main", "jumprelu", "token_order")}
    study = Study(kept_as("full", **three))
    blocks = of_blocks(study)
    assert {blocks["mae", 11], blocks["mae_permuted", 11]} == {"lean"}
    assert blocks["clip", 3] == "full"
    assert ("mae", 3) not in blocks
    # A control that only another backbone's evaluator is, is kept as what it permutes.
    assert blocks["dinov2_permuted", 3] == blocks["dinov2", 3] == "full"
    assert [sweep.storage for sweep in study.sweeps.values()] == ["lean", "lean", "full", "lean"]


def test_imported_saes_may_do_without_activations_to_train_on(tmp_path):
    """Only the statistics are read of these, from a cache without them; others are streamed."""
    config = kept_config()
    del config["sweeps"]["layer_3"]["backbones"]
    config["sweeps"]["layer_3"] |= {"storage": "lean", "published": {"clip": str(tmp_path)}}
    study = Study(config)
    assert [split.name for split in study.splits("lean")] == [
        *("imagenet/train", "imagenet/val", "ade20k/training", "ade20k/validation")
    ]
    assert not study.training.cached_in("lean")
    assert study.sweeps["layer_3"].storage == "lean"


@pytest.mark.parametrize(
    ("resize", "size", "refused"),
    [
        (223, 224, True),
        ([256, 208], [224, 224], True),
        ([256, 208], 224, True),
        (224, [224, 240], True),
        (224, 224, False),
        ([256, 224], 224, False),
        (16, None, False),  # as far as the config says
    ],
)
def test_images_that_are_cut_to_more_than_they_are_resized_to_are_refused(resize, size, refused):
    config = paper_config()
    config["backbones"]["deit"] |= {"image_size": size, "preprocessing": {"resize": resize}}
    if not refused:
        Study(config)
        return
    with pytest.raises(UserError, match=r"deit\.preprocessing\.resize is .*less .*; raise resize"):
        Study(config)
