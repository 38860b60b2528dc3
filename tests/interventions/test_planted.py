"""One direction decides one class: its feature is found, and its edit changes that class alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from intervention_fixtures import (
    BLUE,
    CLASSES,
    DEAD,
    GREEN,
    GREY,
    GRID,
    PREFIX,
    RED,
    SETTINGS,
    colour_backbone,
    colour_sae,
    painted,
)
from PIL import Image

from visae.backbones.continuing import Continuation
from visae.base.errors import UserError
from visae.evals.segmentation.heads import HeadSettings
from visae.interventions.editing import edit_task
from visae.interventions.edits import suppression
from visae.interventions.heads import usable
from visae.interventions.measuring import Network
from visae.interventions.tasks import classification_task, segmentation_task

HEAD = HeadSettings(epochs=30, batch=32, learning_rate=0.3, weight_decay=0)


def tasks(tmp_path, backbone, **changes):
    settings = SETTINGS | changes
    train, test = (painted(tmp_path / part, 8, seed) for seed, part in enumerate(("train", "test")))
    masks = [painted(tmp_path / f"{part}_masks", 8, seed, masks=True)
             for seed, part in enumerate(("train", "test"), 5)]  # fmt: skip
    roots = (tmp_path / "train", tmp_path / "test")
    image_task = classification_task("colours", train, test, roots, backbone.transform, settings)
    # Both parts of a data set with masks lie below one root.
    both = tmp_path / "masks"
    both.mkdir()
    for part in ("train_masks", "test_masks"):
        for path in (tmp_path / part).iterdir():
            path.rename(both / path.name)
    patch_task = segmentation_task("masks", *masks, both, backbone.transform, GRID, settings)
    return image_task, patch_task


def edited(task, layer=0, heads=None, named=(), backbone=None, sae=None, **changes):
    network = Network(Continuation(backbone or colour_backbone(), layer), sae or colour_sae())
    heads = heads or usable(task.kind, None, network.backbone, layer)
    settings = SETTINGS | changes
    return edit_task(0, network, task, heads, settings, HEAD, list(named), "colours/layer0/s", 3)


def rows(outcome, **wanted):
    return [row for row in outcome["rows"] if all(row[k] == v for k, v in wanted.items())]


def share(row, what):
    return row[f"{what}_changed"] / row[what]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return tasks(tmp_path_factory.mktemp("painted"), colour_backbone())


@pytest.mark.parametrize("kind", [0, 1], ids=["images", "patches"])
def test_the_feature_of_each_class_is_found(both, kind):
    for outcome in edited(both[kind]).outcomes:
        found = {row["class"]: row["feature"] for row in rows(outcome, edit="feature")}
        assert found == {"red": RED, "green": GREEN, "blue": BLUE}
        assert all(row["correlation"] > 0.6 for row in rows(outcome, edit="feature"))
        assert outcome["accuracy"] > 0.95
        assert outcome["untold"] == []


def test_an_edit_changes_its_class_and_nothing_else(both):
    """Through two blocks to the class token, the pooled patches, and on every patch."""
    found = [outcome for task in both for outcome in edited(task).outcomes]
    assert [outcome["head"] for outcome in found] == ["class_token", "pooled_patches", "patches"]
    for outcome in found:
        for row in rows(outcome, edit="feature", strength=2):
            assert share(row, "target") > 0.95, (outcome["head"], row)
            assert share(row, "other") == 0, (outcome["head"], row)
            assert row["probability_after"] < 0.3 < row["probability_before"]


@pytest.mark.parametrize("rule", ["topk", "signed_topk"])
def test_features_that_compete_are_edited_as_well(both, rule):
    sae = replace(colour_sae(), activation=rule, k=1, encoder_bias=torch.zeros(5))
    for outcome in edited(both[1], sae=sae).outcomes:
        for row in rows(outcome, edit="feature", strength=2):
            assert share(row, "target") > 0.95, row
            assert share(row, "other") == 0, row


@pytest.mark.parametrize("kind", [0, 1], ids=["images", "patches"])
def test_a_feature_whose_codes_are_negative_tells_its_class_as_well(both, kind):
    """Turned round, row and code, it reconstructs the same."""
    sae = replace(colour_sae(), activation="signed_topk", k=1, encoder_bias=torch.zeros(5))
    turned = torch.ones(5, 1)
    turned[RED] = -1
    sae = replace(sae, activation="abs_topk", encoder_weight=sae.encoder_weight * turned,
                  decoder_weight=sae.decoder_weight * turned)  # fmt: skip
    for outcome in edited(both[kind], sae=sae).outcomes:
        [red] = rows(outcome, edit="feature", strength=2, **{"class": "red"})
        assert red["feature"] == RED
        assert red["correlation"] > 0.6
        assert (share(red, "target"), share(red, "other")) == (1, 0)


def test_heads_know_classes_by_their_numbers_where_one_has_no_training_image(tmp_path):
    """Of evenly spread images none is of a class with a single one."""
    train, test = painted(tmp_path / "a", 8, 0), painted(tmp_path / "b", 8, 1)
    greens = [record for record in train.images if record.class_name == "green"]
    few = train._replace(images=tuple(r for r in train.images if r not in greens[1:]))
    task = classification_task(
        "colours", few, test, (tmp_path / "a", tmp_path / "b"), colour_backbone().transform,
        SETTINGS | {"train_images": 11},
    )  # fmt: skip
    assert set(task.train.labels.ravel()) == {0, 2}
    for outcome in edited(task).outcomes:
        assert 0.6 < outcome["accuracy"] < 0.67
        found = {row["class"]: row["feature"] for row in rows(outcome, edit="feature")}
        assert found == {"red": RED, "blue": BLUE}


def test_controls_of_equal_size_do_not(both):
    for outcome in [outcome for task in both for outcome in edited(task).outcomes]:
        for edit in ("random_direction", "random_feature"):
            own = rows(outcome, edit=edit, strength=2)
            assert {row["seed"] for row in own} == {0, 1}
            targets = [share(row, "target") for row in own]
            assert np.mean(targets) < 0.55, (outcome["head"], edit, targets)
        # The class's mean direction is the planted one here, so that it does as well.
        means = [share(row, "target") for row in rows(outcome, edit="mean_direction", strength=2)]
        assert np.mean(means) > 0.6


def test_a_feature_along_which_no_head_looks_changes_nothing(both):
    for task in both:
        for outcome in edited(task, named=[GREY]).outcomes:
            own = rows(outcome, chosen="named", edit="feature")
            assert {row["feature"] for row in own} == {GREY}
            assert not any(row["target_changed"] or row["other_changed"] for row in own)


def test_making_a_feature_stronger_does_not_take_its_class_away(both):
    for outcome in edited(both[0], strengths=[-3]).outcomes:
        for row in rows(outcome, edit="feature"):
            assert share(row, "target") == 0
            assert row["probability_after"] >= row["probability_before"]


def test_patches_that_are_not_named_stay_as_they_are(both):
    """One patch of sixteen: others keep their class, by the position in the image."""
    outcome = edited(both[1], patches=[[1, 2]], strengths=[2]).outcomes[0]
    patches = both[1].test.labels
    for row in rows(outcome, edit="feature"):
        label = CLASSES.index(row["class"])
        assert row["target_changed"] == (patches[:, 1 * 4 + 2] == label).sum() > 0
        assert row["other_changed"] == 0


def test_a_permuted_backbone_is_edited_where_patches_lie(both):
    """The SAE of permuted tokens has the same tokens; images are not reordered."""
    plain = edited(both[1], patches=[[0, 3]]).outcomes
    permuted = edited(both[1], patches=[[0, 3]], backbone=colour_backbone(token_order="permuted"))
    assert permuted.outcomes == plain


def test_after_the_last_block_the_class_token_is_out_of_reach(both):
    backbone = colour_backbone()
    last = backbone.depth - 1
    assert usable("classification", None, backbone, last) == ["pooled_patches"]
    assert usable("segmentation", None, backbone, last) == ["patches"]
    with pytest.raises(UserError, match="block 2 is the last one of colours: nothing is left"):
        usable("classification", ["class_token"], backbone, last)
    for outcome in edited(both[0], layer=last).outcomes:
        for row in rows(outcome, edit="feature", strength=2):
            assert (share(row, "target"), share(row, "other")) == (1, 0)


def test_a_network_without_a_class_token_has_other_heads():
    backbone = colour_backbone(class_token=False)
    assert usable("classification", None, backbone, 0) == ["pooled_patches"]
    with pytest.raises(UserError, match="colours has no class token; add pooled_patches"):
        usable("classification", ["class_token"], backbone, 0)


def test_tokens_before_the_patches_are_not_edited(both):
    """At the last block the prefix would be the class token's own answer."""
    network = Network(Continuation(colour_backbone(), 0), colour_sae())
    _, _, tokens = next(network.batches(both[0].test))
    patches = network.patches(tokens)
    codes = network.sae.encode(network.sae.normalise(patches))[..., RED]
    edit = suppression(network.sae, RED, patches, codes, torch.ones(16, dtype=torch.bool))
    changed = edit.applied(tokens, slice(0, len(tokens)), 1.0) != tokens
    assert not changed[:, :PREFIX].any()
    assert changed[:, PREFIX:].any()


@pytest.mark.parametrize(
    ("named", "changes", "said"),
    [
        ([DEAD], {}, "feature 3 of colours/layer0/s, which is dead: it fires on no training image"),
        ([5], {}, "feature 5 of colours/layer0/s, which has 5 features, numbered 0 to 4"),
        ([], {"patches": [[4, 0]]}, r"patch \(4, 0\) lies outside the 4 × 4 patches"),
        ([], {"patches": [[0, -1]]}, r"patch \(0, -1\) lies outside"),
    ],
)
def test_what_is_not_there_is_refused(both, named, changes, said):
    with pytest.raises(UserError, match=said):
        edited(both[0], named=named, **changes)


def test_a_named_feature_that_is_the_same_everywhere_is_refused(both):
    sae = colour_sae()
    sae.encoder_weight[GREY], sae.encoder_bias[GREY] = 0.0, 0.3
    for task in both:
        with pytest.raises(UserError, match=f"feature {GREY}, whose code .* tells no class; name"):
            edited(task, named=[GREY], sae=sae)


def test_an_image_that_cannot_be_read_is_named_or_left_out(tmp_path):
    backbone = colour_backbone()
    train, test = painted(tmp_path / "a", 2, 0), painted(tmp_path / "b", 2, 1)
    broken = tmp_path / "b" / test.images[1].path
    broken.write_bytes(b"\x89PNG")
    arguments = ("colours", train, test, (tmp_path / "a", tmp_path / "b"), backbone.transform)
    with pytest.raises(UserError, match=broken.name):
        classification_task(*arguments, SETTINGS)
    kept = classification_task(*arguments, SETTINGS, skip=True).test
    assert [record.image_id for record in kept.records] == [
        record.image_id for record in test.images if record != test.images[1]
    ]
    assert len(kept.pixels) == len(kept.labels) == 5


@pytest.mark.parametrize(("part", "key"), [(0, "train_images"), (1, "images")])
def test_masks_without_a_label_are_refused(part, key, tmp_path):
    parts = [painted(tmp_path, 2, seed, masks=True) for seed in (0, 1)]
    for record in parts[part].images:
        Image.new("L", (16, 16)).save(tmp_path / record.mask)
    with pytest.raises(UserError, match=rf"no patch of 6 images of masks .*interventions\.{key},"):
        segmentation_task("masks", *parts, tmp_path, colour_backbone().transform, GRID, SETTINGS)


def test_classes_are_bounded_and_told_apart_from_each_other(tmp_path):
    backbone = colour_backbone()
    train, test = painted(tmp_path / "a", 4, 0), painted(tmp_path / "b", 4, 1)
    arguments = ("colours", train, test, (tmp_path / "a", tmp_path / "b"), backbone.transform)
    task = classification_task(*arguments, SETTINGS | {"classes": 2, "images": 4})
    assert task.classes == ("red", "green")
    assert task.test.labels[:, 0].tolist() == [0, 1, 0, 1]
    only_red = train._replace(images=tuple(r for r in train.images if r.label == 0))
    with pytest.raises(UserError, match=r"need two classes .* colours has 1"):
        classification_task("colours", only_red, *arguments[2:], SETTINGS)
