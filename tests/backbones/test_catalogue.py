"""The lists of models that planning asks, against the libraries that they were made from."""

import csv
import importlib.metadata
import json
import random
import re
import sys

import pytest
from transformers import CONFIG_MAPPING

from visae.backbones import BackboneSpec, catalogue
from visae.backbones.catalogue import Catalogue, Listed, as_listed, check_model, instead
from visae.backbones.geometry import known, listed_geometry
from visae.backbones.loaders import LOADERS
from visae.backbones.sizes import pair
from visae.base.errors import UserError
from visae.base.repository import RESOURCES

sys.path.insert(0, str(RESOURCES))
import list_models


def rows(loader):
    """(the first line's words, {architecture: (what was measured, tags)}) of a list."""
    found = Catalogue(loader)
    head = [found.package, found.version, found.between, found.kind]
    return head, {row.architecture: (row.said, row.tags) for row in found.rows()}


def entry(loader, model, **changes):
    return {"loader": loader, "model": model, "options": {}} | changes


def test_the_lists_are_those_of_the_installed_versions():
    import open_clip
    import timm

    head, listed = rows("timm")
    assert head[:2] == ["timm", importlib.metadata.version("timm")], "run resources/list_models.py"
    assert set(listed) == set(timm.list_models())
    tagged = {f"{name}.{tag}" for name, (_, tags) in listed.items() for tag in tags}
    assert tagged == {name for name in timm.list_pretrained() if "." in name}
    head, listed = rows("open_clip")
    assert head[:2] == ["open_clip_torch", importlib.metadata.version("open_clip_torch")]
    tagged = {(name, tag) for name, (_, tags) in listed.items() for tag in tags}
    assert tagged == set(open_clip.list_pretrained())
    head, listed = rows("transformers")
    assert head == ["transformers", importlib.metadata.version("transformers"), "/", "types"]
    assert set(listed) == set(CONFIG_MAPPING.keys())
    assert {name for name, (said, _) in listed.items() if Listed.read(said)} <= set(
        list_models.TRANSFORMERS_TYPES
    )


def test_the_table_in_docs_is_that_of_the_lists():
    with list_models.TABLE.open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    found = {(row["loader"], row["model"]): row for row in table}
    usable = {
        (loader, name): Listed.read(said)
        for loader in LOADERS
        for name, (said, _) in rows(loader)[1].items()
        if Listed.read(said)
    }
    assert found.keys() == usable.keys()
    for key, listed in usable.items():
        numbers = (listed.blocks, listed.width, *listed.grid, listed.prefix, listed.registers)
        columns = ("blocks", "width", "rows", "columns", "prefix_tokens", "registers")
        assert tuple(int(found[key][column]) for column in columns) == numbers
        head = rows(key[0])[0]
        assert found[key]["version"] == f"{head[0]} {head[1]}"


def test_grids_are_those_of_the_models_own_sizes_where_these_leave_no_rest():
    import open_clip
    from timm.models import get_pretrained_cfg

    lists = {loader: rows(loader)[1] for loader in ("timm", "open_clip")}
    own = {
        ("timm", name): get_pretrained_cfg(f"{name}.{tag}").input_size[1:]
        for name, (_, tags) in lists["timm"].items()
        for tag in tags
    }
    for name in lists["open_clip"]:
        size = open_clip.get_model_config(name)["vision_cfg"].get("image_size", 224)
        own["open_clip", name] = pair(size)
    others = set()
    for (loader, name), size in own.items():
        listed = Listed.read(lists[loader][name][0])
        if listed and listed.size != tuple(size):
            assert any(side % listed.patch for side in size)
            assert listed.size == (224, 224)
            others.add(name)
    assert len(others) == 4  # as docs/backbones.md says


def sampled(count=40):
    """Models of all lists, a third of them such as are refused."""
    drawn, chosen = random.Random(20), []
    everything = [
        (loader, name, said, tags)
        for loader in sorted(LOADERS)
        for name, (said, tags) in rows(loader)[1].items()
        if said != "?" and (loader != "open_clip" or tags)
    ]
    for usable, share in ((True, 2 * count // 3), (False, count - 2 * count // 3)):
        of_kind = [each for each in everything if (Listed.read(each[2]) is not None) == usable]
        chosen += drawn.sample(of_kind, share)
    return chosen


@pytest.mark.parametrize("loader, name, said, tags", sampled())
def test_a_sample_of_the_lists_is_what_the_libraries_build(loader, name, said, tags):
    names = [f"{name}:{tag}" for tag in sorted(tags)] if loader == "open_clip" else [name]
    assert list_models.measured(loader, names) == said


@pytest.mark.parametrize(
    "loader, model",
    [("timm", "vit_tiny_patch16_224"), ("open_clip", "ViT-B-32:laion2b_e16")],
)
def test_the_plan_needs_no_library_for_models_at_their_own_size(loader, model):
    from visae.backbones.shapes import measure_geometry

    chosen = entry(loader, model, image_size=224, weights="random")
    measured = measure_geometry(BackboneSpec("x", loader, model, "random"))
    assert listed_geometry(chosen) == measured
    assert known({"x": chosen}, {}) == {"x": measured}
    assert listed_geometry(chosen | {"image_size": None}) == measured
    assert listed_geometry(chosen | {"image_size": [224, 224]}) == measured
    assert as_listed(chosen | {"image_size": 192}) is None
    assert as_listed(chosen | {"options": {"depth": 2}}) is None


@pytest.mark.parametrize(
    "loader, model, said",
    [
        ("transformers", "vit_base_patch16_224.mae", "timm has it: set `loader: timm`"),
        ("timm", "ViT-B-16:openai", "open_clip has it: set `loader: open_clip`"),
        ("timm", "ViT-B-16", "`loader: open_clip` and `model: ViT-B-16:dfn2b or ViT-B-16:openai"),
        ("timm", "google/siglip2-base-patch16-naflex", "on the hub: set `loader: transformers`"),
        ("open_clip", "hf-hub:a/B-16", "`loader: transformers` and `model: a/B-16`"),
        ("timm", "dinov2", "transformers has it: set `loader: transformers`"),
        # Written as elsewhere.
        ("timm", "ViT-B/16", "set `loader: open_clip` and `model: ViT-B-16:"),
        ("open_clip", "ViT-B/16:openai", "did you mean ViT-B-16:openai?"),
        ("open_clip", "ViT-B-16/openai", "did you mean ViT-B-16:openai?"),
        ("open_clip", "vit-b-16:OpenAI", "did you mean ViT-B-16:openai?"),
        ("open_clip", "vit_base_patch16_224:mae", "and `model: vit_base_patch16_224.mae`"),
        ("timm", "timm/vit_base_patch16_224.mae", "did you mean vit_base_patch16_224.mae?"),
        ("timm", "hf_hub:timm/vit_base_patch16_224.mae", "did you mean vit_base_patch16_224.mae?"),
        ("timm", "VIT_BASE_PATCH16_224 ", "did you mean vit_base_patch16_224?"),
        ("transformers", "DINOv2", "did you mean dinov2?"),
        ("transformers", "data2vec_vision", "did you mean data2vec-vision?"),
        # Mistyped, of this loader or of another.
        (
            "timm",
            "vit_base_patch14_dinov2.laion2b",
            "did you mean vit_base_patch14_dinov2.lvd142m?",
        ),
        ("timm", "ViT-L/14@336px", "did you mean ViT-L-14-336:openai or"),
        ("timm", "ViT-B-16-SigLIP2:webl", "ViT-B-16-SigLIP2:webli of open_clip? Then set"),
        ("open_clip", "ViT-B-16:laion2b", "did you mean ViT-B-16:"),
        ("timm", "", "docs/models.csv lists those that can be used"),
    ],
)
def test_a_model_is_suggested_where_it_is_and_as_it_is_written(loader, model, said):
    assert said in instead(model, loader)
    with pytest.raises(UserError, match=f"does not have; {re.escape(instead(model, loader))}"):
        check_model("b", entry(loader, model), 3)


def test_what_is_suggested_can_be_used():
    for loader, model in (("timm", "resnet500"), ("open_clip", "RN5"), ("transformers", "swim")):
        said = instead(model, loader)
        for catalogue_ in map(Catalogue, LOADERS):
            for row in catalogue_.rows():
                if row.said == "-":
                    assert not re.search(rf"(mean|or) {re.escape(row.architecture)}[ ?:.]", said)


@pytest.mark.parametrize("model", ["metaclip_2", "clip", "siglip2", "timm_wrapper", "swin"])
def test_types_that_are_not_listed_are_left_to_the_loader(model):
    check_model("b", entry("transformers", model), 3)


@pytest.mark.parametrize("model", ["bert", "llama", "wav2vec2"])
def test_types_without_images_are_refused(model):
    with pytest.raises(UserError, match="is no plain vision transformer"):
        check_model("b", entry("transformers", model), 3)


@pytest.mark.parametrize("size", [225, [224, 225]])
def test_an_image_size_that_leaves_a_rest_is_refused_before_anything_is_built(size):
    with pytest.raises(UserError, match=r"leaves a rest .* patches of 16 .* a multiple of 16"):
        check_model("b", entry("timm", "vit_base_patch16_224", image_size=size), 3)
    check_model("b", entry("timm", "vit_base_patch16_224", image_size=[224, 448]), 3)


@pytest.mark.parametrize(
    "loader, model, size, options, patch",
    [
        ("timm", "vit_base_patch16_224", 226, {"depth": 2}, 16),
        ("timm", "vit_base_patch16_224", 226, {"patch_size": 8}, 8),
        ("timm", "naflexvit_base_patch16_gap", [224, 250], {}, 16),
        ("open_clip", "ViT-L-14:openai", 225, {"vision_cfg": {"layers": 2}}, 14),
        ("open_clip", "ViT-B-16:openai", 240, {"vision_cfg": {"patch_size": 32}}, 32),
        ("transformers", "siglip2_vision_model", 250, {}, 16),
        ("transformers", "dinov2", 224, {"patch_size": 16, "hidden_size": 32}, 0),
        ("timm", "vit_so400m_patch14_siglip_384.webli", 384, {}, 14),
    ],
)
def test_a_rest_is_found_also_where_options_change_the_model(loader, model, size, options, patch):
    chosen = entry(loader, model, image_size=size, options=options)
    if not patch:
        check_model("b", chosen, 1)
        return
    with pytest.raises(UserError, match=rf"patches of {patch} pixels .* a multiple of {patch}"):
        check_model("b", chosen, 1)


def test_options_that_name_another_architecture_say_nothing_of_patches():
    options = {"vision_cfg": {"timm_model_name": "vit_base_patch14_dinov2"}}
    check_model("b", entry("open_clip", "ViT-B-16:openai", image_size=14, options=options), 3)


@pytest.mark.parametrize("beside", [{}, {"model_type": "clip"}])
def test_a_local_folder_says_its_patches_and_blocks(beside, tmp_path):
    said = {"patch_size": 14, "num_hidden_layers": 12}
    content = beside | ({"vision_config": said} if beside else said)
    (tmp_path / "config.json").write_text(json.dumps(content))
    chosen = entry("transformers", "somebody/something", weights=str(tmp_path), image_size=224)
    check_model("b", chosen, 11)
    with pytest.raises(UserError, match="has 12 blocks, numbered 0 to 11"):
        check_model("b", chosen, 12)
    with pytest.raises(UserError, match="a multiple of 14"):
        check_model("b", chosen | {"image_size": 225}, 3)
    for damaged in ("[1]", "null", "{", '{"patch_size": "a"}', '{"vision_config": 3}'):
        (tmp_path / "config.json").write_text(damaged)
        check_model("b", chosen | {"image_size": 225}, 99)


@pytest.mark.parametrize(
    "loader, model, layer, message",
    [
        (
            "timm",
            "vit_bse_patch16_224.mae",
            11,
            "timm does not have; did you mean vit_base",
        ),
        ("timm", "vit_base_patch16_224.mea", 11, r"did you mean vit_base_patch16_224\.mae"),
        ("timm", "", 11, r"docs/models\.csv lists"),
        ("timm", "resnet18.a1_in1k", 3, "is no plain vision transformer"),
        ("timm", "vit_base_patch16_224.mae", 12, r"backbones\.b\.layer is 12, .* numbered 0 to 11"),
        ("open_clip", "ViT-B-16", 11, "did you mean ViT-B-16:"),
        ("open_clip", "ViT-B-61:openai", 11, "did you mean ViT-B-16:openai"),
        ("open_clip", "ViT-L-14:laion2b_s32b_b82k", 24, "24 blocks, numbered 0 to 23"),
        ("transformers", "vitmae", 3, "transformers does not have; did you mean vit_mae"),
        ("transformers", "dinov2", 12, "12 blocks, numbered 0 to 11"),
    ],
)
def test_what_does_not_exist_is_named(loader, model, layer, message):
    with pytest.raises(UserError, match=message):
        check_model("b", entry(loader, model), layer)


@pytest.mark.parametrize(
    "loader, model, options, blocks, said",
    [
        ("timm", "vit_base_patch16_224", {"depth": 6, "embed_dim": 96}, 6, "options.depth"),
        ("timm", "vit_base_patch16_224", {"depth": 30}, 30, "options.depth"),
        (
            *("open_clip", "ViT-B-16:openai", {"vision_cfg": {"layers": 3, "width": 96}}, 3),
            "options.vision_cfg.layers",
        ),
        ("transformers", "vit", {"num_hidden_layers": 2}, 2, "options.num_hidden_layers"),
    ],
)
def test_options_say_how_many_blocks_there_are(loader, model, options, blocks, said):
    chosen = entry(loader, model, options=options)
    check_model("b", chosen, blocks - 1)
    with pytest.raises(
        UserError, match=f"{blocks} blocks by its {said}, numbered 0 to {blocks - 1}"
    ):
        check_model("b", chosen, blocks)


def test_what_exists_or_cannot_be_told_is_left_to_the_loader(monkeypatch, tmp_path):
    check_model("b", entry("timm", "vit_base_patch16_224.mae"), 11)
    check_model("b", entry("timm", "vit_base_patch16_224"), 11)
    check_model("b", entry("timm", "vit_base_patch16_224", options={"depth": 30}), 29)
    check_model("b", entry("open_clip", "ViT-B-16:openai"), 11)
    check_model("b", entry("transformers", "somebody/something"), 99)
    check_model("b", entry("timm", "vit_base_patch16_224", options={"embed_dim": 96}), 99)
    check_model("b", entry("open_clip", "ViT-B-16:openai", options={"vision_cfg": None}), 99)
    (tmp_path / "config.json").write_text("{}")
    check_model("b", entry("transformers", "anything", weights=str(tmp_path)), 99)
    monkeypatch.setattr(catalogue, "_installed", lambda _: "99.0")
    check_model("b", entry("timm", "vit_of_the_future.v1"), 99)
