"""Which activations a study needs, which of them come from one pass, and which are views."""

import re
from pathlib import Path

import pytest
from study_fixtures import as_run_config, demo_config, kept_config, paper_config

from visae.base.paths import Paths, place
from visae.study import jobs, places, roles
from visae.study.study import Study

FIVE = ["dinov2", "clip", "siglip", "mae", "deit"]


def found(study):
    """Place → names of the splits that are cached there."""
    return {p.name: [split.name for split in p.cached] for p in places.needed(study)}


def passes(study, splits):
    """Blocks of a pass → backbones."""
    found = with_storages(study, splits)
    return {tuple(layer for layer, _ in blocks): names for blocks, names in found.items()}


def with_storages(study, splits):
    """The same, of pairs of a block and its storage."""
    return places.passes(study, places.needed(study), roles.views(study), splits)


def test_the_papers_blocks_of_a_split_come_from_one_pass():
    study = Study(kept_config())
    early = {(3, 11): ["dinov2", "clip", "siglip"]}
    masks = study.segmentation
    for splits in ([study.training], [study.evaluation], list(study.cross_domain["cub"])):
        assert passes(study, splits) == early
    assert passes(study, masks) == {}  # read at block 11 alone


def test_backbones_of_different_blocks_are_different_passes():
    config = kept_config()
    config["sweeps"]["middle"] = config["sweeps"]["layer_3"] | {"layer": 6, "backbones": ["clip"]}
    config["backbones"]["deit"]["layer"] = 9
    study = Study(config)
    of_training = passes(study, [study.training])
    assert of_training == {(3, 11): ["dinov2", "siglip"], (3, 6, 11): ["clip"]}


def test_all_splits_are_extracted_of_every_block_in_coarse_granularity():
    study = Study(demo_config())
    everything = [split.name for split in study.splits()]
    assert {tuple(splits) for splits in found(study).values()} == {tuple(everything)}
    assert passes(study, study.splits()) == {(1, 3): ["clip_small"]}


def test_controls_are_views_of_the_same_backbone_in_raster_order():
    study = Study(kept_config())
    views = {"mae_permuted": "mae", "dinov2_permuted": "dinov2"}
    assert roles.views(study) == views
    assert roles.views(Study(demo_config())) == {"mae_permuted": "mae_small"}


@pytest.mark.parametrize(
    "changes",
    [{"image_size": 256}, {"preprocessing": {}}, {"storage": "bfloat16"}, {"weights": "random"}],
)
def test_a_control_of_other_activations_is_no_view(changes):
    study = Study(kept_config(), check=False)
    study.backbones["mae_permuted"] |= changes
    assert "mae_permuted" not in roles.views(study)


def test_the_seed_is_of_the_order_but_of_random_weights_too():
    study = Study(kept_config(), check=False)
    study.backbones["mae_permuted"]["seed"] = 7
    assert roles.views(study)["mae_permuted"] == "mae"
    for name in ("mae", "mae_permuted"):
        study.backbones[name]["weights"] = "random"
    assert "mae_permuted" not in roles.views(study)


def test_an_order_of_the_models_own_is_no_view_and_none_is_of_it():
    study = Study(as_run_config())
    assert [e["token_order"] for e in study.backbones.values()].count("forward") == 1
    assert roles.views(study) == {}
    study = Study(kept_config(), check=False)
    study.backbones["mae"]["token_order"] = "forward"
    assert "mae_permuted" not in roles.views(study)


def test_a_control_needs_its_block_in_raster_order():
    """Also one that nothing else reads; the pass then has it on its way."""
    config = kept_config()
    config["sweeps"]["token_order"]["layer"] = 5
    study = Study(config, check=False)
    assert found(study)["mae_permuted/layer5"] == ["imagenet/train", "imagenet/val"]
    assert found(study)["mae/layer5"] == ["imagenet/train", "imagenet/val"]
    assert passes(study, [study.training])[5, 11] == ["mae"]
    assert passes(study, study.cross_domain["cub"]) == {(3, 11): ["dinov2", "clip", "siglip"]}


@pytest.mark.parametrize(
    ("there", "together"),
    [
        ({}, (3, 6, 11)),
        ({3: [0, 1], 6: [0, 1], 11: [0, 1]}, (3, 6, 11)),
        ({3: [1], 6: [1], 11: [1]}, (3, 6, 11)),  # a killed run
        ({11: [0]}, (3, 6)),  # both were asked for later
        ({11: [0, 1], 3: [1], 6: [1]}, (3, 6)),  # and their run was killed
        ({6: [0, 1], 11: [0, 1]}, (6, 11)),  # block 3 was
        ({3: [1], 11: [0]}, None),
    ],
)
def test_blocks_of_a_pass_are_those_of_which_the_same_shards_are_there(tmp_path, there, together):
    config = kept_config()
    config["datasets"]["imagenet"]["splits"]["train"]["shards"] = 2
    config["sweeps"] = {
        name: config["sweeps"]["layer_3"] | {"layer": block, "backbones": ["clip"]}
        for name, block in {"late": 11, "early": 3, "middle": 6}.items()
    }
    study = Study(config, check=False)
    study.paths = Paths(str(tmp_path))
    for layer, numbers in there.items():
        for number in numbers:
            path = study.paths.shard(study.training.name, number, 2, place("clip", layer))
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
    expected = {together: ["clip"]} if together else {}
    assert passes(study, [study.training]) == expected


@pytest.mark.parametrize("results", ["results/paper", "/disk/layer3/results"])
def test_the_path_of_a_shard_says_its_block(results):
    paths = Paths(results)
    for layer in (0, 3, 11):
        shard = paths.shard("imagenet/train", 2, 16, place("clip", layer))
        assert paths.block_of(shard) == layer


def test_an_evaluator_of_no_sweep_is_needed_where_it_is_embedded_and_where_it_is_normalised():
    config = kept_config()
    config["sweeps"] = {"main": config["sweeps"]["main"] | {"backbones": ["mae"]}}
    config["downstream"] = None
    study = Study(config)
    assert found(study)["clip/layer11"] == ["imagenet/train", "imagenet/val"]
    (evaluator,) = (p for p in places.needed(study) if p.backbone == "clip")
    assert [split.name for split in evaluator.reduced] == ["imagenet/val"]


def test_lean_measures_the_training_split_of_all_blocks_in_one_pass_and_caches_what_is_read_again():
    study = Study(kept_config() | {"storage": "lean"})
    assert not study.training.cached_in("lean")
    kept = ["imagenet/val", "ade20k/training", "ade20k/validation"]
    assert [split.name for split in study.splits()] == ["imagenet/train", *kept]
    needs = {place.name: place for place in places.needed(study)}
    assert all(study.training in place.cached for place in needs.values())
    assert passes(study, [study.training]) == {(3, 11): ["dinov2", "clip", "siglip"]}
    assert set(needs) == {place.name for place in places.needed(Study(kept_config()))}


def test_a_block_that_is_measured_is_on_the_way_to_one_that_is_kept():
    study = Study(paper_config())
    early = ["dinov2", "clip", "siglip"]
    assert with_storages(study, [study.training]) == {((3, "lean"), (11, "full")): early}
    # What both keep is the same for them.
    assert with_storages(study, [study.evaluation]) == {((3, "full"), (11, "full")): early}
    # Other domains are cached at block 11 alone.
    assert with_storages(study, list(study.cross_domain["cub"])) == {}
    # In coarse granularity they are extracted where the others are.
    coarse = Study(paper_config() | {"granularity": "coarse"})
    [(_, everything)] = jobs.extraction(coarse)
    assert with_storages(coarse, everything) == {((3, "lean"), (11, "full")): early}


def test_a_block_with_fewer_splits_shares_a_pass_unless_something_is_there(tmp_path, monkeypatch):
    """Of a killed run, or where a split was added to one of the blocks."""
    study = Study(paper_config() | {"granularity": "coarse"})
    [(_, everything)] = jobs.extraction(study)
    monkeypatch.setattr(study, "paths", Paths(str(tmp_path)))
    three = ["dinov2", "clip", "siglip"]

    def write(splits, layer, kept):
        for split in splits:
            for number in range(split.shards):
                at = study.paths.shard(
                    split.name, number, split.shards, place("clip", layer), kept(split)
                )
                Path(at).parent.mkdir(parents=True, exist_ok=True)
                Path(at).touch()

    write(study.splits("full"), 11, lambda split: True)
    assert with_storages(study, everything) == {((3, "lean"), (11, "full")): ["dinov2", "siglip"]}
    write(study.splits("lean"), 3, lambda split: split.cached_in("lean"))
    assert with_storages(study, everything) == {((3, "lean"), (11, "full")): three}
    # All is there at block 3, and not at block 11.
    lost = study.cross_domain["cub"][0]
    Path(study.paths.shard(lost.name, 0, lost.shards, place("clip", 11))).unlink()
    assert with_storages(study, everything) == {((3, "lean"), (11, "full")): ["dinov2", "siglip"]}


@pytest.mark.parametrize("kept", [True, False])
def test_a_block_whose_shards_are_there_has_no_pass_with_others(tmp_path, monkeypatch, kept):
    """Those that are asked for: others may lie beside them from another storage."""
    study = Study(kept_config() | {"storage": "lean"})
    monkeypatch.setattr(study, "paths", Paths(str(tmp_path)))
    split = study.training
    for number in range(split.shards):
        path = study.paths.shard(split.name, number, split.shards, place("clip", 11), kept)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    early = ["dinov2", "clip", "siglip"] if kept else ["dinov2", "siglip"]
    assert passes(study, [study.training]) == {(3, 11): early}


@pytest.mark.parametrize(
    ("where", "kept"),
    [("imagenet", ["imagenet/train"]), ("cub", ["cub/train", "cub/test"])],
)
def test_a_data_set_may_be_cached_in_lean_too(where, kept):
    config = kept_config() | {"storage": "lean"}
    config["datasets"][where]["cache"] = True
    study = Study(config)
    assert set(kept) <= {split.name for split in study.splits()}
    assert study.training.cached_in("lean") == (where == "imagenet")


BLOCKS = ["clip/layer3/", "clip/layer11/", "clip/layer33/", "mae/layer3/"]


@pytest.mark.parametrize(
    ("default", "storages", "matched"),
    [
        ("full", ["full"], BLOCKS[1:]),
        ("full", ["lean"], BLOCKS[:1]),
        ("lean", ["lean"], [BLOCKS[0], *BLOCKS[2:]]),
        ("lean", ["full"], BLOCKS[1:2]),
        ("full", ["full", "lean"], BLOCKS),
    ],
)
def test_blocks_are_told_apart_by_their_storage_and_others_have_the_default(
    default, storages, matched
):
    needs = [places.Needed("clip", 3, "lean"), places.Needed("clip", 11, "full")]
    start = places.only(needs, default, storages)
    assert [name for name in BLOCKS if re.fullmatch(rf"{start}\w+/layer\d+/", name)] == matched


def test_a_storage_that_no_block_has_matches_none():
    assert not re.match(places.only([], "full", ["lean"]), BLOCKS[0])
