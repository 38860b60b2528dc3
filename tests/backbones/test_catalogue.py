"""The lists of models that planning asks, against the libraries that they were made from."""

import importlib.metadata
from pathlib import Path

import pytest
import torch

from visae.backbones import BackboneSpec, build_backbone, catalogue, loaders
from visae.backbones.catalogue import check_model
from visae.backbones.loaders.transformers.load import MODEL_TYPES
from visae.base.errors import UserError


def rows(loader):
    """(first line, {architecture: [depth, *tags]}) of a list."""
    path = Path(loaders.__file__).parent / loader / "models.txt"
    head, *lines = [line.split(" ") for line in path.read_text("utf-8").splitlines()]
    return head, {line[0]: line[1:] for line in lines}


def entry(loader, model, **changes):
    return {"loader": loader, "model": model, "options": {}} | changes


def test_the_lists_are_those_of_the_installed_versions():
    import open_clip
    import timm

    head, listed = rows("timm")
    assert head[:2] == ["timm", importlib.metadata.version("timm")], "run resources/list_models.py"
    assert set(listed) == set(timm.list_models())
    tagged = {f"{name}.{tag}" for name, (_, *tags) in listed.items() for tag in tags}
    assert tagged == {name for name in timm.list_pretrained() if "." in name}
    head, listed = rows("open_clip")
    assert head[:2] == ["open_clip_torch", importlib.metadata.version("open_clip_torch")]
    tagged = {(name, tag) for name, (_, *tags) in listed.items() for tag in tags}
    assert tagged == set(open_clip.list_pretrained())
    head, listed = rows("transformers")
    assert head == ["transformers", importlib.metadata.version("transformers"), "/", "types"]
    assert listed == {name: [listed[name][0]] for name in MODEL_TYPES}


@pytest.mark.parametrize(
    "loader, model",
    [
        ("timm", "vit_large_patch14_dinov2.lvd142m"),
        ("timm", "eva02_tiny_patch14_224.mim_in22k"),
        ("timm", "xcit_nano_12_p16_224.fb_in1k"),
        ("open_clip", "ViT-B-16-SigLIP:webli"),
        ("open_clip", "ViT-L-14:laion2b_s32b_b82k"),
        ("transformers", "vit_mae"),
    ],
)
def test_depths_are_those_of_the_models(loader, model):
    depth = rows(loader)[1][model.split("." if loader == "timm" else ":")[0]][0]
    spec = BackboneSpec("x", loader, model, "random")
    with torch.device("meta"):
        if depth == "-":
            with pytest.raises(UserError):
                build_backbone(spec)
        else:
            assert build_backbone(spec).depth == int(depth)


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
        ("timm", "", 11, "did you mean"),
        ("timm", "resnet18.a1_in1k", 3, "is no plain vision transformer"),
        ("timm", "vit_base_patch16_224.mae", 12, r"block 12 of backbones\.b .* numbered 0 to 11"),
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
