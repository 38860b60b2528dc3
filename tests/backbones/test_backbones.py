"""Backbones of all three libraries, small and with random weights; no network is used."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from backbone_fixtures import (
    CLIP_SMALL,
    HF_MLP,
    ONE_PER_LOADER,
    SMALL,
    TIMM_SMALL,
    small_spec,
    some_images,
)
from PIL import Image
from safetensors.torch import load_file, save_file

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.backbone import Backbone, forward_noise, permute_patches
from visae.backbones.checks import check_backbone, check_raster_order
from visae.backbones.order import patch_order
from visae.backbones.preprocessing import INTERPOLATIONS, Preprocessing
from visae.backbones.structure import tokens as tokens_of
from visae.backbones.weights import save_weights
from visae.base.errors import UserError


@pytest.mark.parametrize("kind", SMALL)
def test_tokens_of_every_kind_of_model(kind):
    backbone = build_backbone(small_spec(kind))
    assert backbone.grid == (4, 4)
    assert backbone.prefix_tokens == SMALL[kind][3]
    assert (backbone.width, backbone.depth) == (32, 3)
    for layer in range(3):
        check_backbone(backbone, layer)
    tokens = [backbone.patch_tokens(some_images(), layer) for layer in range(3)]
    assert all(t.shape == (2, 16, 32) and t.dtype == torch.float32 for t in tokens)
    # Tokens after block 0 are what enters block 1, and so on.
    prefix = backbone.prefix_tokens
    entered = []
    hook = backbone.blocks[1].register_forward_pre_hook(
        lambda _, args: entered.append(tokens_of(args))
    )
    backbone.patch_tokens(some_images(), 2)
    hook.remove()
    assert torch.equal(entered[0][:, prefix:], tokens[0])
    assert json.loads(json.dumps(backbone.preprocessing)) == backbone.preprocessing


@pytest.mark.parametrize("kind", ["vit", "vit_mae", "deit", "dinov2"])
def test_the_final_norm_of_transformers_is_not_in_the_last_block(kind):
    backbone = build_backbone(small_spec(kind))
    finished = []
    hook = backbone.model.layernorm.register_forward_hook(lambda _, __, out: finished.append(out))
    with torch.inference_mode():
        backbone.run(some_images())
        normed = backbone.model.layernorm(backbone.block_output(some_images(), 2))
    hook.remove()
    torch.testing.assert_close(normed, finished[0])
    assert (normed - backbone.block_output(some_images(), 2)).abs().mean() > 0.1


def test_the_forward_pass_stops_at_the_block():
    backbone = build_backbone(small_spec("timm"))
    backbone.blocks[2].register_forward_hook(lambda *_: pytest.fail("block 2 was computed"))
    backbone.patch_tokens(some_images(), 1)


@pytest.mark.parametrize("kind", SMALL)
def test_one_pass_gives_the_tokens_of_several_blocks(kind):
    backbone = build_backbone(small_spec(kind))
    found = backbone.patch_tokens_of(some_images(), [2, 0])
    assert set(found) == {0, 2}
    for layer, tokens in found.items():
        assert torch.equal(tokens, backbone.patch_tokens(some_images(), layer))
    assert not any(block._forward_hooks for block in backbone.blocks)


def test_one_pass_ends_at_the_last_of_its_blocks_and_a_block_must_exist():
    backbone = build_backbone(small_spec("timm"))
    backbone.blocks[2].register_forward_hook(lambda *_: pytest.fail("block 2 was computed"))
    backbone.patch_tokens_of(some_images(), [0, 1])
    with pytest.raises(UserError, match="no block 7"):
        backbone.patch_tokens_of(some_images(), [7, 1])


def test_a_block_that_adds_in_place_does_not_change_what_an_earlier_one_gave():
    backbone = build_backbone(small_spec("timm"))
    expected = backbone.patch_tokens(some_images(), 0)

    def double(_module, given):
        given[0].mul_(2)

    backbone.blocks[1].register_forward_pre_hook(double)
    assert torch.equal(backbone.patch_tokens_of(some_images(), [0, 1])[0], expected)


# Blocks with rotary positions or windows: to them, an order of patches is an order of places.
PLACES_IN_BLOCKS = {"dinov3_vit", "timm_wrapper", "gemma", "gemma_encoder", "sam"}


@pytest.mark.parametrize("kind", [kind for kind in SMALL if kind not in PLACES_IN_BLOCKS])
def test_blocks_do_not_see_the_order_of_patches_that_have_their_positions(kind):
    """So the control `token_order: permuted` may be a view of the cache in raster order."""
    backbone = build_backbone(small_spec(kind))
    raster = backbone.patch_tokens_of(some_images(), [0, 1, 2])
    prefix = backbone.prefix_tokens
    order = torch.from_numpy(patch_order(16, "some image", seed=3))
    places = torch.cat([torch.arange(prefix), order + prefix])

    def shuffle(_module, given, keywords):
        return (given[0][:, places], *given[1:]), keywords

    backbone.blocks[0].register_forward_pre_hook(shuffle, with_kwargs=True)
    shuffled = backbone.patch_tokens_of(some_images(), [0, 1, 2])
    for layer, tokens in shuffled.items():
        torch.testing.assert_close(tokens, raster[layer][:, order], rtol=1e-4, atol=1e-5)
        assert (tokens - raster[layer]).abs().max() > 0.01


def test_hugging_face_mae_shuffles_and_its_restored_order_is_ours():
    backbone = build_backbone(small_spec("vit_mae"))
    raster = backbone.patch_tokens(some_images(), 2)
    model, kept = backbone.model, []
    hook = model.layers[2].register_forward_hook(lambda _, __, out: kept.append(out))
    torch.manual_seed(0)
    with torch.inference_mode():
        restore = model(some_images()).ids_restore
    hook.remove()
    as_it_comes = kept[0][:, 1:]
    assert (as_it_comes - raster).abs().max() > 0.01
    restored = torch.gather(as_it_comes, 1, restore[:, :, None].expand_as(as_it_comes))
    torch.testing.assert_close(restored, raster, rtol=1e-4, atol=1e-5)


def test_a_shuffling_backbone_is_refused():
    backbone = build_backbone(small_spec("vit_mae"))
    backbone.run = backbone.model  # without the order-keeping noise
    with pytest.raises(UserError, match="answers differently to the same images"):
        check_backbone(backbone, 2)
    with pytest.raises(UserError, match="not in raster order"):
        check_raster_order(backbone)


def test_a_shuffle_between_blocks_is_refused():
    backbone = build_backbone(small_spec("timm", image_size=64))
    order = torch.from_numpy(np.random.default_rng(1).permutation(64)) + 1

    def shuffle(_module, _arguments, output):
        return torch.cat([output[:, :1], output[:, order]], dim=1)

    backbone.blocks[1].register_forward_hook(shuffle)
    check_raster_order(backbone)
    check_backbone(backbone, 0)
    with pytest.raises(UserError, match="not tell where a bright square is at block 2"):
        check_backbone(backbone, 2)


def test_a_few_very_long_tokens_do_not_hide_where_things_are():
    backbone = build_backbone(small_spec("timm", image_size=64))

    def lengthen(_module, _arguments, output):
        """Two tokens of each image, other ones in each, 50 times as long."""
        output = output.clone()
        for number, image in enumerate(output):
            places = 1 + torch.randperm(64, generator=torch.Generator().manual_seed(number))[:2]
            image[places] = 50 * output[number, places]
        return output

    backbone.blocks[2].register_forward_hook(lengthen)
    check_backbone(backbone, 2)


def test_a_column_major_backbone_is_refused():
    backbone = build_backbone(small_spec("timm"))
    run = backbone.run
    backbone.run = lambda images: run(images.transpose(2, 3))
    with pytest.raises(UserError, match=r"holds patch \d+ in token \d+"):
        check_backbone(backbone, 1)


def test_broken_weights_are_refused():
    backbone = build_backbone(small_spec("timm"))
    with torch.no_grad():
        backbone.model.blocks[1].mlp.fc1.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match="NaN or infinity at block 1"):
        check_backbone(backbone, 1)


@pytest.mark.parametrize("layer", [-1, 3, 12])
def test_a_missing_block_is_named_with_the_number_of_blocks(layer):
    with pytest.raises(UserError, match=f"no block {layer}: .* has 3 blocks, numbered 0 to 2"):
        build_backbone(small_spec("timm")).patch_tokens(some_images(), layer)


def test_unexpected_tokens_are_refused():
    good = build_backbone(small_spec("timm"))
    with pytest.raises(UserError, match="17 tokens, not the 16 patches and 0 prefix tokens"):
        Backbone(good.spec, good.model, good.run, good.transform, stated_prefix=0)


def test_random_weights_follow_the_seed_and_leave_the_global_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = (build_backbone(small_spec("timm", seed=s)) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert first.weights_fingerprint == again.weights_fingerprint != other.weights_fingerprint


@pytest.mark.parametrize("kind", ONE_PER_LOADER)
def test_saved_weights_load_again(kind, tmp_path):
    backbone = build_backbone(small_spec(kind, seed=5))
    path = tmp_path / "model.safetensors"
    save_weights(backbone, path)
    for weights in (path, tmp_path):
        loaded = build_backbone(small_spec(kind, weights=str(weights)))
        assert loaded.weights_fingerprint == backbone.weights_fingerprint
        tokens = [b.patch_tokens(some_images(), 2) for b in (backbone, loaded)]
        assert torch.equal(*tokens)

    torch.save({"state_dict": backbone.model.state_dict()}, tmp_path / "weights.pth")
    spec = small_spec(kind, weights=str(tmp_path / "weights.pth"))
    assert build_backbone(spec).weights_fingerprint == backbone.weights_fingerprint


@pytest.mark.parametrize("kind", ONE_PER_LOADER)
def test_weights_of_another_architecture_are_refused(kind, tmp_path):
    path = tmp_path / "model.safetensors"
    backbone = build_backbone(small_spec(kind))
    save_weights(backbone, path)
    tensors = load_file(path)
    first = next(name for name in tensors if ".0." in name and name.endswith("weight"))
    damaged = {
        "is missing": {n: t for n, t in tensors.items() if n != first},
        "one too many": tensors | {n.replace(".2.", ".3."): t + 0 for n, t in tensors.items()},
        "shape|size": tensors | {first: torch.zeros(7, 7)},
    }
    for message, content in damaged.items():
        save_file(content, path)
        with pytest.raises(UserError, match=f"do not fit .*({message})"):
            build_backbone(small_spec(kind, weights=str(path)))


def test_the_image_tower_is_taken_from_a_whole_clip_model(tmp_path):
    backbone = build_backbone(small_spec("open_clip", seed=5))
    tensors = {f"visual.{n}": t for n, t in backbone.model.state_dict().items()}
    save_file(tensors | {"logit_scale": torch.ones(1)}, tmp_path / "clip.safetensors")
    loaded = build_backbone(small_spec("open_clip", weights=str(tmp_path / "clip.safetensors")))
    assert loaded.weights_fingerprint == backbone.weights_fingerprint


@pytest.mark.parametrize("kind", ["vit_mae", "clip_vision_model"])
def test_a_hugging_face_folder_needs_nothing_else(kind, tmp_path):
    backbone = build_backbone(small_spec(kind, seed=5))
    backbone.model.save_pretrained(tmp_path)  # with names as in published files
    spec = small_spec(kind, model="some/hub-id", weights=str(tmp_path), options={})
    loaded = build_backbone(spec)
    assert loaded.weights_fingerprint == backbone.weights_fingerprint
    assert loaded.preprocessing == backbone.preprocessing
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 32, "width": 32},
        "resample": 2,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    assert build_backbone(spec).preprocessing == {
        "resize_mode": "shortest",
        "resize": 40,
        "crop": 32,
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "resampling": "torch_bytes",
        "margin": "down",
    }


@pytest.mark.parametrize("kind", ["timm", "open_clip", "vit", "vit_mae", "dinov2"])
def test_position_embeddings_are_resampled_to_the_image_size(kind, tmp_path):
    native = build_backbone(small_spec(kind))
    save_weights(native, tmp_path / "model.safetensors")
    options = dict(SMALL[kind][2])
    if SMALL[kind][0] == "transformers":
        options["image_size"] = 32
    larger = build_backbone(small_spec(kind, weights=str(tmp_path), image_size=48, options=options))
    assert larger.grid == (6, 6)
    assert larger.patch_tokens(some_images(side=48), 2).shape == (2, 36, 32)
    check_raster_order(larger)


def test_pretrained_weights_come_from_the_library(monkeypatch, tmp_path):
    # The downloads are replaced by what they would bring: whole models, heads and towers included.
    import open_clip
    import timm

    def whole_timm_model(*_, **__):
        model = timm.create_model(SMALL["timm"][1], img_size=32, **TIMM_SMALL)
        published.append(model.blocks[2].mlp.fc1.weight.clone())
        return model.state_dict()

    def whole_clip_model(*_, **__):
        config = open_clip.get_model_config("ViT-B-16-quickgelu")
        vision = config["vision_cfg"] | CLIP_SMALL["vision_cfg"] | {"image_size": 32}
        model = open_clip.create_model(
            "ViT-B-16-quickgelu", embed_dim=16, vision_cfg=vision, output_dict=False
        )
        published.append(model.visual.transformer.resblocks[2].mlp.c_fc.weight.clone())
        save_file(model.state_dict(), tmp_path / "clip.safetensors")
        return str(tmp_path / "clip.safetensors")

    published = []
    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", whole_timm_model)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", whole_clip_model)
    vit = build_backbone(small_spec("timm", weights="pretrained"))
    assert torch.equal(vit.blocks[2].mlp.fc1.weight, published[0])
    clip = build_backbone(small_spec("open_clip", weights="pretrained"))
    assert torch.equal(clip.blocks[2].mlp.c_fc.weight, published[1])

    mae = build_backbone(small_spec("vit_mae", seed=5))
    mae.model.save_pretrained(tmp_path / "mae")
    spec = small_spec("vit_mae", model=str(tmp_path / "mae"), weights="pretrained", options={})
    assert build_backbone(spec).weights_fingerprint == mae.weights_fingerprint


def test_the_package_itself_imports_no_library():
    code = "import sys, visae.backbones; print([m for m in ('torch', 'timm') if m in sys.modules])"
    scripts = Path(__file__).parents[2] / "workflow_scripts"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


class Exploding:
    def __reduce__(self):
        return (print, ("executed",))


def test_files_that_would_execute_code_are_refused(tmp_path, capsys):
    torch.save({"weights": Exploding()}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="could execute code"):
        build_backbone(small_spec("timm", weights=str(tmp_path / "weights.pth")))
    assert "executed" not in capsys.readouterr().out


def test_damaged_missing_and_empty_weights_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in {
        "nowhere.safetensors": "do not exist",
        "empty": r"holds no file that ends in \.safetensors",
        "cut.safetensors": "is damaged",
        "cut.pth": "is damaged",
        "list.pth": "not a dictionary of tensors",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            build_backbone(small_spec("timm", weights=str(tmp_path / name)))
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "spec, message",
    [
        (BackboneSpec("x", "tim", "m"), "'tim', which does not exist: choose one of open_clip"),
        (BackboneSpec("x", "timm", "m", token_order="spiral"), "choose one of raster, permuted"),
        (BackboneSpec("x", "timm", "vit_bse_patch16_224.mae"), "did you mean vit_base_patch16_224"),
        (BackboneSpec("x", "timm", "vit_base_patch16_224.mea"), r"vit_base_patch16_224\.mae"),
        (BackboneSpec("x", "timm", "resnet18.a1_in1k", "random", None), "is no vision transformer"),
        (BackboneSpec("x", "timm", "resnet18.a1_in1k", "random"), "is no vision transformer"),
        (BackboneSpec("x", "open_clip", "ViT-B-16-SigLIP"), "did you mean ViT-B-16-SigLIP:webli"),
        (BackboneSpec("x", "open_clip", "ViT-B-61:openai"), "did you mean ViT-B-16:openai"),
        (BackboneSpec("x", "open_clip", "ViT-B-16:openai", "random"), "with the quick GELU"),
        (BackboneSpec("x", "open_clip", "RN50-quickgelu:openai", "random"), "is no vision"),
        (BackboneSpec("x", "open_clip", "RN50:openai", "random"), "choose 'RN50-quickgelu:openai'"),
        (BackboneSpec("x", "transformers", "vitmae"), "did you mean vit_mae"),
        (BackboneSpec("x", "timm", "ViT-B-16"), "set `loader: open_clip` and `model: ViT-B-16:"),
        (BackboneSpec("x", "timm", "ViT-B-16:openai"), "open_clip has it: set `loader: open_clip`"),
        (BackboneSpec("x", "timm", "facebook/dinov2-base"), "set `loader: transformers`"),
        (BackboneSpec("x", "open_clip", "dinov2"), "transformers has it"),
        (BackboneSpec("x", "transformers", "vit_base_patch16_224.mae"), "set `loader: timm`"),
        (BackboneSpec("x", "transformers", "dinov2"), "which is a model type"),
        (small_spec("timm", image_size=36), "a multiple of 8"),
        (small_spec("timm", image_size=[32, 36]), "32 × 36 pixels .* a multiple of 8"),
        (small_spec("vit", image_size=(32, 44)), "32 × 44 pixels .* a multiple of 8"),
        (BackboneSpec("x", "timm", "vit_base_mci_224", "random", 230), "a multiple of 16"),
        (small_spec("timm", options={"deep": 3}), "cannot be built with .*deep"),
        (small_spec("open_clip", options={"vision_cfg": {"deep": 3}}), "cannot be built"),
        (small_spec("vit_mae", options={"deep": 3}), "option 'deep' .* does not exist"),
    ],
)
def test_wrong_entries_are_answered_with_the_cure(spec, message):
    with pytest.raises(UserError, match=message):
        build_backbone(spec)


# One architecture of each kind that is built, and has no grid of one token per patch.
NO_GRID = {
    "convolutional": "convnext_atto",
    "hierarchical": "swin_tiny_patch4_window7_224",
    "multiscale": "mvitv2_tiny",
    "pooling of tokens": "hiera_tiny_224",
    "class attention": "cait_xxs24_224",
    "cross-covariance": "xcit_nano_12_p16_224",
    "tokens in tokens": "tnt_s_patch16_224",
    "several lists": "coat_mini",
    "two scales": "crossvit_9_240",
    "no class token in the first blocks": "convit_tiny",
    "outlook": "volo_d1_224",
    "lists in a list": "twins_svt_small",
}


@pytest.mark.parametrize("image_size", [None, 224])
@pytest.mark.parametrize("kind", NO_GRID)
def test_an_architecture_without_a_plain_grid_is_refused_in_a_sentence(kind, image_size):
    spec = BackboneSpec("x", "timm", NO_GRID[kind], "random", image_size)
    with torch.device("meta"), pytest.raises(UserError, match=r"backbone 'x'.*(choose|only plain)"):
        build_backbone(spec)


@pytest.mark.parametrize("model", ["resnet18.a1_in1k", "hrnet_w18_small.ms_in1k"])
@pytest.mark.parametrize("weights", ["random", "pretrained"])
def test_a_model_that_takes_images_of_any_size_is_told_none(model, weights, monkeypatch):
    import timm

    create = timm.create_model

    def downloaded(name, pretrained=False, **arguments):
        assert pretrained in (False, weights == "pretrained")
        return create(name, **arguments)

    monkeypatch.setattr("timm.create_model", downloaded)
    with torch.device("meta"), pytest.raises(UserError, match="it is no vision transformer"):
        build_backbone(BackboneSpec("x", "timm", model, weights))


@pytest.mark.parametrize(
    "loader, model, grid, prefix, depth",
    [
        ("timm", "vit_base_mci_224", (14, 14), 1, 12),
        ("timm", "vit_base_r50_s16_224", (14, 14), 1, 12),
        ("timm", "vit_tiny_r_s16_p8_224", (7, 7), 1, 12),
        ("timm", "mixer_s32_224", (7, 7), 0, 8),
        ("timm", "samvit_base_patch16_224", (14, 14), 0, 12),
        ("timm", "naflexvit_base_patch16_par_gap", (14, 14), 4, 12),
        ("open_clip", "MobileCLIP-B:datacompdr", (14, 14), 1, 12),
        ("open_clip", "MobileCLIP2-B:dfndr2b", (14, 14), 1, 12),
        ("open_clip", "ViTamin-S:datacomp1b", (14, 14), 0, 14),
        ("open_clip", "roberta-ViT-B-32:laion2b_s12b_b32k", (7, 7), 1, 12),
        ("transformers", "pixio", (14, 14), 8, 32),
    ],
)
def test_grid_and_prefix_are_measured_where_attributes_are_wrong(
    loader, model, grid, prefix, depth
):
    with torch.device("meta"):
        backbone = build_backbone(BackboneSpec("x", loader, model, "random"))
    assert (backbone.grid, backbone.prefix_tokens, backbone.depth) == (grid, prefix, depth)


WIDE = {kind: SMALL[kind] for kind in SMALL if kind != "aimv2_vision_model"}


@pytest.mark.parametrize("kind", WIDE)
def test_images_that_are_no_squares_have_a_grid_of_height_and_width(kind):
    backbone = build_backbone(small_spec(kind, image_size=[32, 64]))
    assert backbone.grid == (4, 8)
    check_backbone(backbone, 0)
    image = photograph(100, 61)
    pixels = backbone.preprocess(image)
    assert pixels.shape == (3, 32, 64)
    assert backbone.patch_tokens(pixels[None], 2).shape == (1, 32, 32)


def test_a_model_of_one_size_of_images_is_refused_at_another():
    with pytest.raises(UserError, match=r"cannot read images of 32 × 64 pixels alone .*own size"):
        build_backbone(small_spec("aimv2_vision_model", image_size=[32, 64]))


def test_a_hybrid_stem_puts_patches_where_they_are():
    spec = BackboneSpec("x", "timm", "vit_base_mci_224", "random", 64, options={"depth": 1})
    backbone = build_backbone(spec)
    assert (backbone.grid, backbone.patch, backbone.prefix_tokens) == ((4, 4), 16, 1)
    check_raster_order(backbone)
    for wrong in (0, 2):  # a prefix that is one token off
        backbone.prefix_tokens = wrong
        with pytest.raises(UserError, match="prefix tokens come elsewhere"):
            check_raster_order(backbone)
    backbone.prefix_tokens, run = 1, backbone.run
    backbone.run = lambda images: run(images.transpose(2, 3))
    with pytest.raises(UserError, match="not in raster order"):
        check_raster_order(backbone)


def test_patches_without_padding_are_those_of_the_padded_batch():
    from transformers import Siglip2ImageProcessor

    backbone = build_backbone(small_spec("siglip2_vision_model", image_size=[24, 40]))
    image = photograph(40, 24)
    processor = Siglip2ImageProcessor(patch_size=8, max_num_patches=20, do_resize=False)
    padded = processor(image, return_tensors="pt", max_num_patches=20)
    rows, columns = padded["spatial_shapes"][0].tolist()
    assert (rows * columns, len(padded["pixel_values"][0])) == (15, 20)
    kept = []
    hook = backbone.blocks[2].register_forward_hook(lambda _, __, output: kept.append(output))
    with torch.inference_mode():
        backbone.model(**padded)
    hook.remove()
    ours = backbone.patch_tokens(backbone.preprocess(image)[None], 2)
    torch.testing.assert_close(ours[0], kept[0][0, :15], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "loader, model",
    [
        ("timm", "vit_small_patch14_dinov2.lvd142m"),
        ("timm", "vit_small_patch16_dinov3.lvd1689m"),
        ("timm", "deit3_small_patch16_224.fb_in1k"),
    ],
)
def test_blocks_with_random_weights_act(loader, model):
    options = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 8}
    spec = BackboneSpec("x", loader, model, "random", 32, options=options)
    backbone = build_backbone(spec)
    entered = backbone.embedded_tokens(some_images())
    change = (backbone.block_output(some_images(), 2) - entered).norm() / entered.norm()
    assert change > 0.01
    check_backbone(backbone, 2)
    idle = build_backbone(replace(spec, options=options | {"init_values": 1e-5}))
    with pytest.raises(UserError, match=r"does nothing in its blocks up to 2: .*set `init_values`"):
        check_backbone(idle, 2)


def test_tokens_that_no_attribute_tells_from_patches_are_refused():
    # YOLOS has detection tokens, and has them after the patches.
    small = HF_MLP | {"num_detection_tokens": 2, "use_mid_position_embeddings": False}
    spec = BackboneSpec("x", "transformers", "yolos", "random", None)
    spec = replace(spec, options=small | {"image_size": [32, 32]})
    backbone = build_backbone(spec)
    assert backbone.prefix_tokens == 3
    with pytest.raises(UserError, match="prefix tokens come elsewhere"):
        check_raster_order(backbone)


@pytest.mark.parametrize(
    "options",
    [
        {"patch_size": (8, 4)},
        {"depth": 0},
        {"num_heads": 5},
        {"embed_dim": "32"},
        {"class_token": False},
        {"block_fn": 3},
        {"depth": 2.5},
    ],
)
def test_options_that_build_no_plain_transformer_are_refused_in_a_sentence(options):
    with pytest.raises(UserError, match="ackbone 'timm'"):
        build_backbone(small_spec("timm", options=TIMM_SMALL | options))


@pytest.mark.parametrize(
    "options",
    [{"num_hidden_layers": 0}, {"patch_size": "8"}, {"num_channels": 1}],
)
def test_the_same_of_transformers(options):
    with pytest.raises(UserError, match="ackbone 'vit'"):
        build_backbone(small_spec("vit", options=HF_MLP | options))


@pytest.mark.parametrize(
    "loader, model",
    [
        ("timm", "deit_tiny_patch16_224.fb_in1k"),
        ("open_clip", "ViT-B-16-quickgelu:openai"),
        ("transformers", "nobody/has-this"),
    ],
)
def test_a_failed_download_says_how_to_use_a_local_file(loader, model, monkeypatch, tmp_path):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"nor can they be downloaded .*set `weights` to the file"):
        build_backbone(BackboneSpec("x", loader, model))


def photograph(width, height):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + k) * np.cos(y / (5 + k)) for k in range(3)]
    return Image.fromarray((127 + 120 * np.stack(waves, axis=2)).astype(np.uint8))


CLIP_PLAIN = CLIP_SMALL | {"vision_cfg": CLIP_SMALL["vision_cfg"] | {"timm_model_name": None}}


@pytest.mark.parametrize("size", [(100, 61), (61, 100), (40, 33), (32, 32), (64, 140)])
def test_preprocessing_is_the_libraries_own(size):
    import open_clip
    import timm
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    image = photograph(*size)
    backbone = build_backbone(small_spec("timm"))
    settings = timm.data.resolve_model_data_config(backbone.model) | {"input_size": (3, 32, 32)}
    theirs = timm.data.create_transform(**settings, is_training=False)(image)
    torch.testing.assert_close(backbone.preprocess(image), theirs)

    for model in ("ViT-B-16-quickgelu:openai", "ViT-B-16-SigLIP:webli"):
        backbone = build_backbone(small_spec("open_clip", model=model, options=CLIP_PLAIN))
        settings = open_clip.pretrained.get_pretrained_cfg(*model.split(":"))
        names = ("mean", "std", "interpolation", "resize_mode")
        theirs = open_clip.image_transform(32, False, **{name: settings[name] for name in names})
        torch.testing.assert_close(backbone.preprocess(image), theirs(image))

    for kind in ("clip_vision_model", "vit_mae"):
        backbone = build_backbone(small_spec(kind))
        used = backbone.transform
        squash = {"height": used.resize, "width": used.resize}
        processor = CLIPImageProcessorPil(
            size=squash if used.resize_mode == "squash" else {"shortest_edge": used.resize},
            crop_size={"height": 32, "width": 32},
            resample=INTERPOLATIONS[used.interpolation],
            image_mean=used.mean,
            image_std=used.std,
        )
        theirs = torch.as_tensor(processor(image, return_tensors="np")["pixel_values"][0])
        torch.testing.assert_close(backbone.preprocess(image), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("size", [(100, 61), (61, 100), (64, 32), (33, 140)])
@pytest.mark.parametrize("target", [(32, 64), (64, 32), (48, 40)])
def test_images_that_are_no_squares_are_prepared_as_timm_does(target, size, mode):
    from timm.data.transforms_factory import transforms_imagenet_eval

    theirs = transforms_imagenet_eval(
        target, 0.9, mode, interpolation="bicubic", mean=(0,) * 3, std=(1,) * 3
    )
    resize = tuple(int(side / 0.9) for side in target)
    ours = Preprocessing(
        "squash" if mode == "squash" else "shortest", resize, target, "bicubic", (0,) * 3, (1,) * 3
    )
    image = photograph(*size)
    assert torch.equal(torch.from_numpy(ours.pixels(image)) / 255, theirs(image))


def test_the_preprocessing_of_the_papers_backbones_needs_no_weights():
    clip = build_backbone(small_spec("open_clip")).preprocessing
    siglip = build_backbone(
        small_spec("open_clip", model="ViT-B-16-SigLIP:webli", options=CLIP_PLAIN)
    ).preprocessing
    timm = build_backbone(small_spec("timm", image_size=224)).preprocessing
    assert (clip["resize_mode"], clip["mean"][0]) == ("shortest", 0.48145466)
    assert (siglip["resize_mode"], siglip["mean"], siglip["std"]) == (
        "squash",
        [0.5, 0.5, 0.5],
        [0.5, 0.5, 0.5],
    )
    assert (timm["resize"], timm["crop"], timm["mean"][0]) == (248, 224, 0.485)


def test_an_entry_may_say_how_images_are_resized():
    changes = {"resize_mode": "squash", "resize": 40, "interpolation": "bilinear"}
    plain = build_backbone(small_spec("timm"))
    changed = build_backbone(small_spec("timm", preprocessing=changes))
    assert changed.preprocessing == plain.preprocessing | changes
    assert changed.preprocess(photograph(100, 61)).shape == (3, 32, 32)
    with pytest.raises(UserError, match="resized to 20 pixels and cropped to 32"):
        build_backbone(small_spec("timm", preprocessing={"resize": 20}))


def test_permuted_tokens_depend_on_seed_and_image_only():
    tokens = torch.arange(3 * 16 * 2, dtype=torch.float32).reshape(3, 16, 2)
    ids = ["a", "b", "c"]
    permuted = permute_patches(tokens, ids, seed=4)
    alone = torch.cat([permute_patches(tokens[i : i + 1], [ids[i]], seed=4) for i in range(3)])
    assert torch.equal(permuted, alone)
    for row, image_id in enumerate(ids):
        order = patch_order(16, image_id, seed=4)
        assert sorted(order) == list(range(16))
        assert torch.equal(permuted[row], tokens[row, order])
    orders = {tuple(patch_order(16, name, seed)) for name in ids for seed in (4, 5)}
    assert len(orders) == 6


def test_permuted_orders_are_uniform():
    # Each patch is equally often at each place: chi-squared over a 9×9 table, 3 standard
    # deviations above its mean.
    orders = np.stack([patch_order(9, f"image-{i}", seed=0) for i in range(2000)])
    counts = np.stack([(orders == patch).sum(axis=0) for patch in range(9)])
    statistic = ((counts - 2000 / 9) ** 2 / (2000 / 9)).sum()
    assert statistic < 64 + 3 * np.sqrt(2 * 64)


def test_the_forward_order_is_the_models_own():
    backbone = build_backbone(replace(small_spec("vit_mae"), token_order="forward"))
    images, ids = some_images(), [f"image_{n}" for n in range(len(some_images()))]
    patches = backbone.grid[0] * backbone.grid[1]
    noise_bp = forward_noise(patches, ids, seed=3)
    raster = backbone.patch_tokens(images, 2)
    drawn = backbone.patch_tokens(images, 2, noise_bp)
    for image in range(len(images)):
        order = noise_bp[image].argsort()
        torch.testing.assert_close(drawn[image], raster[image, order], rtol=1e-4, atol=1e-5)
        alone = forward_noise(patches, ids[image : image + 1], seed=3)
        assert torch.equal(alone[0], noise_bp[image])
    assert (drawn - raster).abs().max() > 0.01
    assert not torch.equal(noise_bp, forward_noise(patches, ids, seed=4))


@pytest.mark.parametrize("kind", ["deit", "dinov2"])
def test_a_model_that_keeps_the_order_has_none_of_its_own(kind):
    spec = BackboneSpec("x", "transformers", kind, weights="random", token_order="forward")
    with pytest.raises(UserError, match="leaves patches in raster order"):
        build_backbone(spec)
