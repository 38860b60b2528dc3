"""What cannot be trained is refused before anything runs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_fixtures import change, demo_config

from visae.backbones.geometry import Geometry, grid
from visae.base.errors import UserError
from visae.evals.entry import IMAGES, PATCHES
from visae.evals.shelf import EVALS
from visae.plan import feasible
from visae.plan.images import Count
from visae.study.study import Study


def found(changes=(), images=10_000, source="index", scored=50, patches=64):
    """All sentences about the demo's study with some changes.

    images, scored: of the training and of the evaluation split. patches: of every backbone.
    """
    config = demo_config()
    for path, value in dict(changes).items():
        change(config, path, value)
    study = Study(config)
    geometries = {name: Geometry(patches, 96, (1,) * 4) for name in study.backbones}
    counts = {
        study.training.name: Count(images, 2, source),
        study.evaluation.name: Count(scored, 2, source),
    }
    return [*feasible.problems(study, geometries, counts)]


def check(*arguments, **options):
    for sentence in found(*arguments, **options):
        raise UserError(sentence)


def test_what_can_work_is_let_through():
    check()


def test_a_single_step_is_refused_with_what_to_change():
    one_step = {"training.batch_size": 8192, "training.epochs": 1}
    with pytest.raises(UserError, match=r"7,680 tokens of .*1 step of training\.batch_size 8,192"):
        check(one_step, images=120)
    check(one_step | {"training.minimum_steps": 1}, images=120)
    check(one_step, images=120, source="published")
    check(one_step | {"training.epochs": 10}, images=120)
    with pytest.raises(UserError, match=r"1 step of"):
        check(one_step, images=120, source="files")
    assert len(found(one_step, images=120)) == 1  # and not one for each backbone


@pytest.mark.parametrize(
    ("family", "key"), [("batchtopk", "k"), ("topk", "k"), ("jumprelu", "target_l0")]
)
def test_more_active_features_than_there_are(family, key):
    sweep = {
        "family": family,
        "grid": {"expansion_factor": [4], key: [385]},
        "backbones": ["mae_small"],
    }
    with pytest.raises(
        UserError, match=r"sweeps\.odd\.grid on mae_small: .*385 active.*384 in all"
    ):
        check({"sweeps.odd": sweep})
    sweep["grid"][key] = [384]
    check({"sweeps.odd": sweep})


@pytest.mark.parametrize(
    ("setting", "value", "room", "said"),
    [
        ("localization.minimum_images", 51, {"scored": 50}, "is 51, but photographs/val has 50 im"),
        ("localization.minimum_active", [5, 65], {"patches": 64}, r"has 65, but .*has 64 patches"),
        ("monosemanticity.top_images", 16, {"scored": 15}, "is 16, but photographs/val has 15"),
    ],
)
def test_a_metric_that_asks_for_more_than_there_is(setting, value, room, said):
    """Its score would be null, or its top would be shorter, which only the result would say."""
    metric, _, name = setting.partition(".")
    asks = {
        "metrics.localization": {"minimum_images": 2},
        f"metrics.{metric}": {"minimum_images": 2} if metric == "localization" else {},
        f"metrics.{metric}.{name}": value,
    }
    [sentence] = found(asks, **room)
    assert sentence.startswith(f"config: metrics.{setting} ")
    with pytest.raises(UserError, match=said):
        raise UserError(sentence)
    assert found(asks, **{size: number + 1 for size, number in room.items()}) == []
    assert found(asks, **room, source="published") == ([] if "scored" in room else [sentence])
    # Of metrics that no sweep is scored on nothing is asked.
    config = demo_config()
    for sweep in config["sweeps"].values():
        sweep["metrics"] = ["fvu", "preservation", "cross_domain"]
    without = {f"sweeps.{sweep}": entry for sweep, entry in config["sweeps"].items()}
    assert [said for said in found(asks | without, **room) if metric in said] == []


def test_what_an_entry_bounds_are_numbers_of_its_settings():
    for name, entry in EVALS.entries().items():
        for setting, most in entry.most.items():
            schema = entry.settings[setting]
            assert "integer" in (schema["type"], schema.get("items", {}).get("type")), name
            assert most.of in (IMAGES, PATCHES)


@settings(max_examples=60, deadline=None)
@given(images=st.integers(1, 400), shards=st.integers(1, 8), chunk=st.integers(1, 70))
def test_shards_are_refused_where_extraction_would(images, shards, chunk):
    """By the function that extraction divides a split with."""
    from visae.activations.shards import shard_bounds

    changes = {
        "datasets.photographs.splits.train": {"shards": shards},
        "extraction.chunk_images": chunk,
        "training.minimum_steps": 1,
    }
    told = [said for said in found(changes, images=images) if ".shards is " in said]
    try:
        shard_bounds(images, shards, chunk)
    except UserError:
        assert len(told) == 1
        assert told[0].startswith("config: datasets.photographs.splits.train.shards is ")
        most = int(told[0].split("set it to ")[1].split(" ")[0])
        shard_bounds(images, most, chunk)
        with pytest.raises(UserError):
            shard_bounds(images, most + 1, chunk)
    else:
        assert told == []


SAE = "clip_small/layer1/batchtopk_4x_k24"  # 384 features of width 96


@pytest.mark.parametrize("section", ["features", "interventions"])
def test_a_named_feature_that_an_sae_has_not(section):
    named = {f"{section}": demo_config().get(section, {}) | {"saes": [SAE], "named": {SAE: [3]}}}
    assert found(named) == []
    named[section]["named"] = {SAE: [383, 384]}
    [sentence] = found_without_check(named)
    assert f"{section}.named.{SAE} has the feature 384, but that SAE has 384 features" in sentence


def test_an_edited_patch_outside_of_the_image():
    inside = {"interventions.patches": [[0, 7], [7, 0]]}
    assert found(inside) == []
    for outside in ([8, 0], [0, 8], [-1, 0]):
        [sentence] = found_without_check({"interventions.patches": [[0, 7], outside]})
        assert (
            f"interventions.patches has {outside}, but images of clip_small have 8 × 8" in sentence
        )


def found_without_check(changes):
    """The same of a study that its own checks refuse, since its backbones are known ones."""
    config = demo_config()
    for path, value in changes.items():
        change(config, path, value)
    with pytest.raises(UserError) as refused:
        Study(config)
    study = Study(config, check=False)
    geometries = {name: Geometry(64, 96, (1,) * 4) for name in study.backbones}
    sentences = [*feasible.problems(study, geometries, {study.training.name: Count(0, 0, "no")})]
    assert sentences == [str(refused.value)]
    return sentences


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), side=st.integers(1, 32))
def test_the_grid_is_that_of_square_patches(rows, columns, side):
    size = [rows * side, columns * side]
    measured = Geometry(rows * columns, 8, (1,))
    assert grid({"image_size": size}, measured) == (rows, columns)
    assert grid({"image_size": None}, measured) is None
    if rows == columns:
        assert grid({"image_size": size[0]}, measured) == (rows, rows)
