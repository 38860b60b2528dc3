"""Local weights in the forms in which frameworks leave them; small networks, saved in each form.

The reference is the network that was saved: the one that is read has the same weights.
"""

import argparse
import copy
import json
import pathlib

import numpy as np
import pytest
import torch
from backbone_fixtures import ONE_PER_LOADER, small_spec, some_images
from safetensors.torch import save_file

from visae.backbones import build_backbone
from visae.backbones.weights import save_weights
from visae.base.errors import UserError


@pytest.fixture(scope="module")
def saved():
    """Kind → a built backbone, whose weights are those that the tests look for."""
    return {kind: build_backbone(small_spec(kind, seed=5)) for kind in ONE_PER_LOADER}


def state(backbone):
    return {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}


def below(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def read(kind, path, **changes):
    return build_backbone(small_spec(kind, weights=str(path), **changes))


HEAD = {"head.weight": torch.zeros(7, 32), "head.bias": torch.zeros(7)}
FORMS = {
    "ddp": lambda t: below("module.", t),
    "compiled": lambda t: below("_orig_mod.", t),
    "both": lambda t: below("module._orig_mod.", t),
    "backbone with a head": lambda t: {"model": below("backbone.", t) | HEAD},
    "encoder": lambda t: {"state_dict": below("module.encoder.", t), "epoch": 3},
    "lightning": lambda t: {
        "state_dict": below("model.", t),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        "hyper_parameters": {"lr": 0.1},
    },
    "average": lambda t: {"state_dict_ema": below("module.", t) | {"n_averaged": torch.ones(())}},
    "teacher alone": lambda t: {"teacher": below("backbone.", t), "iteration": 10},
    "modules apart": lambda t: {"model": {"backbone": t, "head": HEAD}},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ONE_PER_LOADER)
def test_weights_are_found_whatever_stands_before_their_names(kind, form, saved, tmp_path):
    torch.save(FORMS[form](state(saved[kind])), tmp_path / "checkpoint.pth")
    backbone = read(kind, tmp_path / "checkpoint.pth")
    assert backbone.weights_fingerprint == saved[kind].weights_fingerprint
    prefix = {"average": "state_dict_ema.module.", "modules apart": "model.backbone."}
    assert prefix.get(form, "") in backbone.weights_reading
    # transformers and timm know some beginnings themselves, and say nothing of them.
    assert backbone.weights_reading or kind != "timm"


def test_what_was_taken_is_said_and_the_models_own_names_need_no_word(saved, tmp_path, capsys):
    torch.save(below("_orig_mod.encoder.", state(saved["timm"])), tmp_path / "one.pth")
    backbone = read("timm", tmp_path / "one.pth")
    assert backbone.weights_reading == "_orig_mod taken out of names; names without `encoder.`"
    assert backbone.weights_reading in capsys.readouterr().out
    torch.save(state(saved["timm"]), tmp_path / "one.pth")
    assert read("timm", tmp_path / "one.pth").weights_reading == ""
    assert capsys.readouterr().out == ""


def test_blocks_that_were_compiled_one_by_one(saved, tmp_path):
    tensors = {
        name.replace("blocks.1.", "blocks.1._orig_mod."): t
        for name, t in state(saved["timm"]).items()
    }
    torch.save(tensors, tmp_path / "one.pth")
    assert (
        read("timm", tmp_path / "one.pth").weights_fingerprint == saved["timm"].weights_fingerprint
    )


@pytest.mark.parametrize("kind", ONE_PER_LOADER)
def test_of_two_networks_that_differ_one_has_to_be_named(kind, saved, tmp_path):
    teacher, student = state(saved[kind]), state(build_backbone(small_spec(kind, seed=6)))
    content = {"student": below("module.", student), "teacher": below("backbone.", teacher)}
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    with pytest.raises(
        UserError, match=r"2 networks.*`student\.module\.` and `teacher\.backbone\.`"
    ):
        read(kind, path)
    chosen = read(kind, path, weights_part="teacher")
    assert chosen.weights_fingerprint == saved[kind].weights_fingerprint
    with pytest.raises(UserError, match=r"below 'mentor'.*`student`, `teacher`"):
        read(kind, path, weights_part="mentor")
    # Two copies of one network are one.
    torch.save(content | {"student": below("module.", teacher)}, path)
    assert read(kind, path).weights_fingerprint == saved[kind].weights_fingerprint


def test_a_network_at_the_top_and_another_below(saved, tmp_path):
    other = state(build_backbone(small_spec("timm", seed=6)))
    torch.save(state(saved["timm"]) | {"ema": other}, tmp_path / "one.pth")
    with pytest.raises(UserError, match=r"2 networks .* below `` and `ema\.`"):
        read("timm", tmp_path / "one.pth")
    chosen = read("timm", tmp_path / "one.pth", weights_part="")
    assert chosen.weights_fingerprint == saved["timm"].weights_fingerprint


def test_dinov2s_blocks_in_groups(saved, tmp_path):
    groups = {0: 0, 1: 0, 2: 1}
    tensors = state(saved["timm"])
    for name in [name for name in tensors if name.startswith("blocks.")]:
        block = int(name.split(".")[1])
        tensors[f"blocks.{groups[block]}.{name.removeprefix('blocks.')}"] = tensors.pop(name)
    assert "blocks.1.2.norm1.weight" in tensors
    torch.save({"teacher": below("backbone.", tensors)}, tmp_path / "teacher.pth")
    backbone = read("timm", tmp_path / "teacher.pth")
    assert backbone.weights_fingerprint == saved["timm"].weights_fingerprint
    assert "blocks in groups" in backbone.weights_reading


@pytest.mark.parametrize(
    "kind, never_read",
    [
        ("timm", ["norm."]),
        ("open_clip", ["ln_post.", "proj"]),
        ("vit_mae", ["layernorm."]),
        ("clip_vision_model", ["post_layernorm."]),
    ],
)
def test_weights_that_no_block_depends_on_may_be_missing(kind, never_read, saved, tmp_path):
    tensors = {
        name: t for name, t in state(saved[kind]).items() if not name.startswith(tuple(never_read))
    }
    assert len(tensors) < len(state(saved[kind]))
    save_file(tensors, tmp_path / "model.safetensors")
    backbone = read(kind, tmp_path)
    for layer in range(3):
        tokens = [b.patch_tokens(some_images(), layer) for b in (saved[kind], backbone)]
        assert torch.equal(*tokens)
    assert "not in the file, and never read" in backbone.weights_reading
    assert read(kind, tmp_path).weights_fingerprint == backbone.weights_fingerprint
    assert not any(weight.requires_grad for weight in backbone.parameters())


def shards(tensors, folder, suffix, save):
    """Three shards and their index, as transformers writes them."""
    stem = "pytorch_model" if suffix == "bin" else "model"
    names, weight_map = sorted(tensors), {}
    for number in range(3):
        file = (
            f"{'pytorch_model' if suffix == 'bin' else 'model'}-0000{number + 1}-of-00003.{suffix}"
        )
        save({name: tensors[name] for name in names[number::3]}, folder / file)
        weight_map |= dict.fromkeys(names[number::3], file)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return index, folder / file


@pytest.mark.parametrize("suffix, save", [("safetensors", save_file), ("bin", torch.save)])
@pytest.mark.parametrize("kind", ["timm", "vit_mae"])
def test_shards_are_read_together(kind, suffix, save, saved, tmp_path):
    index, last = shards(state(saved[kind]), tmp_path, suffix, save)
    for path in (tmp_path, index, last):
        assert read(kind, path).weights_fingerprint == saved[kind].weights_fingerprint
    content = index.read_text()
    index.unlink()
    for path in (tmp_path, last):  # without an index too
        assert read(kind, path).weights_fingerprint == saved[kind].weights_fingerprint
    index.write_text(content)
    last.unlink()
    with pytest.raises(UserError, match=f"are 3 files, of which {last.name} is not there"):
        read(kind, tmp_path)
    index.write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')
    with pytest.raises(UserError, match=r"an index of shards .*a shard is not beside it, nor"):
        read(kind, tmp_path)


class Tower(torch.nn.Module):
    """A model of which the image tower is a part, as in CLIP's archives."""

    def __init__(self, visual):
        super().__init__()
        self.visual = visual
        self.logit_scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.visual(images)


@pytest.mark.parametrize("kind", ["timm", "open_clip"])
def test_torchscript_archives_are_read_without_running_them(kind, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("code was compiled"))
    model = copy.deepcopy(saved[kind].model)  # `half` changes it
    model = Tower(model) if kind == "open_clip" else model
    traced = torch.jit.trace(model, some_images(1), check_trace=False)
    torch.jit.save(traced, tmp_path / "archive.pt")
    half = tmp_path / "half.pt"
    torch.jit.save(traced.half(), half)
    backbone = read(kind, tmp_path / "archive.pt")
    assert backbone.weights_fingerprint == saved[kind].weights_fingerprint
    halved = read(kind, half)
    for name, tensor in saved[kind].model.state_dict().items():
        assert torch.equal(halved.model.state_dict()[name], tensor.half().float())


def test_settings_beside_the_weights_are_set_aside(saved, tmp_path):
    content = {
        "model": state(saved["timm"]),
        "args": argparse.Namespace(lr=0.1, output_dir=pathlib.PosixPath("out")),
        "best": np.float64(0.7),
        "path": pathlib.PosixPath("runs"),
    }
    torch.save(content, tmp_path / "one.pth")
    assert (
        read("timm", tmp_path / "one.pth").weights_fingerprint == saved["timm"].weights_fingerprint
    )


def test_files_are_told_by_what_they_hold(saved, tmp_path):
    save_file(state(saved["timm"]), tmp_path / "renamed.bin")
    assert read("timm", tmp_path).weights_fingerprint == saved["timm"].weights_fingerprint
    (tmp_path / "other.pth").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )
    with pytest.raises(UserError, match=r"holds several \(other\.pth, renamed\.bin\)"):
        read("timm", tmp_path)
    with pytest.raises(UserError, match="pointer of Git LFS"):
        read("timm", tmp_path / "other.pth")
    np.savez(tmp_path / "jax.npz", kernel=np.zeros(3))
    with pytest.raises(UserError, match="not a file of weights"):
        read("timm", tmp_path / "jax.npz")


def test_shards_may_lie_below_their_index_and_are_asked_for_where_they_do_not(saved, tmp_path):
    (tmp_path / "parts").mkdir()
    index, _ = shards(state(saved["timm"]), tmp_path / "parts", "safetensors", save_file)
    content = index.read_text().replace('"model-', '"parts/model-')
    index.unlink()
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert read("timm", tmp_path).weights_fingerprint == saved["timm"].weights_fingerprint
    index.write_text(content)
    with pytest.raises(UserError, match="not there: fetch it again, or put the index where its sh"):
        read("timm", index)


def test_weights_in_lists(saved, tmp_path):
    one, other = state(saved["timm"]), state(build_backbone(small_spec("timm", seed=6)))
    path = tmp_path / "one.pth"
    for content, place in [
        ((one, 3), "[0]."),
        ({"epoch": 3, "ema": [below("module.", one)]}, "ema[0].module."),
    ]:
        torch.save(content, path)
        backbone = read("timm", path)
        assert backbone.weights_fingerprint == saved["timm"].weights_fingerprint
        assert backbone.weights_reading == f"names without `{place}`"
    torch.save({"models": [other, one]}, path)
    with pytest.raises(UserError, match=r'weights_part: "models\[1\]"'):
        read("timm", path)
    chosen = read("timm", path, weights_part="models[1]")
    assert chosen.weights_fingerprint == saved["timm"].weights_fingerprint


@pytest.mark.parametrize("part", ["base", "module.base", "state_dict.module.base", "base.vit"])
def test_a_part_is_named_by_any_whole_pieces_of_its_beginning(part, saved, tmp_path):
    other = state(build_backbone(small_spec("timm", seed=6)))
    content = below("module.base.vit.", state(saved["timm"])) | below("module.based.vit.", other)
    torch.save({"state_dict": content}, tmp_path / "one.pth")
    chosen = read("timm", tmp_path / "one.pth", weights_part=part)
    assert chosen.weights_fingerprint == saved["timm"].weights_fingerprint
    with pytest.raises(UserError, match="hold 2 networks"):
        read("timm", tmp_path / "one.pth", weights_part="module")


@pytest.mark.parametrize("kind", ["timm", "vit_mae"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(dtype, kind, saved, tmp_path):
    quantised = {name: t.to(dtype) if t.ndim > 1 else t for name, t in state(saved[kind]).items()}
    torch.save(quantised, tmp_path / "one.pth")
    with pytest.raises(UserError, match=rf"is quantised \({dtype}\); \d\d such"):
        read(kind, tmp_path / "one.pth")


def test_what_is_no_file_of_weights_says_what_it_is(saved, tmp_path):
    (tmp_path / "page.pth").write_text("\n<!DOCTYPE html><title>Not found</title>")
    with pytest.raises(UserError, match="a web page, not the file"):
        read("timm", tmp_path / "page.pth")
    torch.save(saved["timm"].model, tmp_path / "whole.pth")
    with pytest.raises(UserError, match="save the model's state_dict where they were made"):
        read("timm", tmp_path / "whole.pth")
    (tmp_path / "runs/checkpoint-5").mkdir(parents=True)
    save_file(state(saved["timm"]), tmp_path / "runs/checkpoint-5/model.safetensors")
    with pytest.raises(UserError, match=r"give one of its folders: .*runs/checkpoint-5"):
        read("timm", tmp_path / "runs")


def test_a_file_without_the_network_says_what_it_holds(tmp_path):
    torch.save({"state_dict": {"fc.weight": torch.zeros(2, 2)}}, tmp_path / "one.pth")
    with pytest.raises(UserError, match=r"no network of the size .* begin with `state_dict`"):
        read("timm", tmp_path / "one.pth")


PROCESSORS = {
    "older size": ({"size": 40, "resample": 2}, ("squash", 40, 40)),
    "ViTFeatureExtractor": ({"size": 40}, ("squash", 40, 40)),
    "ViTMAEFeatureExtractor": ({"size": 40}, ("squash", 40, 40)),
    "DeiTFeatureExtractor": ({"size": 40, "crop_size": 32}, ("squash", 40, 32)),
    "CLIPFeatureExtractor": ({"size": 40, "crop_size": 32}, ("shortest", 40, 32)),
    "ConvNextFeatureExtractor": ({"size": 32, "crop_pct": 0.8}, ("shortest", 40, 32)),
}


@pytest.mark.parametrize("key", ["image_processor_type", "feature_extractor_type"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_image_processors_of_older_versions(name, key, saved, tmp_path):
    settings, expected = PROCESSORS[name]
    saved["vit_mae"].model.save_pretrained(tmp_path)
    kind = {} if name == "older size" else {key: name}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(kind | settings))
    found = read("vit_mae", tmp_path, image_size=None, options={}).preprocessing
    resize = round(32 * expected[1] / expected[2])
    assert (found["resize_mode"], found["resize"], found["crop"]) == (expected[0], resize, 32)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"image_processor_type": "MyProcessor"}, "is of type 'MyProcessor', which transformers"),
        ({"size": {"shortest_edge": 32, "longest_edge": 48}}, "resize to .*48"),
        (
            {"image_processor_type": "Siglip2ImageProcessor", "max_num_patches": None},
            "half of those for images of any size: max_num_patches is missing",
        ),
        ({"do_resize": False}, "do not resize"),
        ({"do_rescale": False}, "do not scale"),
    ],
)
def test_other_preprocessing_is_refused(settings, message, saved, tmp_path):
    saved["vit_mae"].model.save_pretrained(tmp_path)
    settings = {"image_processor_type": "ViTImageProcessor"} | settings
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=message):
        read("vit_mae", tmp_path, options={})


@pytest.mark.parametrize(
    "config, message",
    [
        ({"hidden_size": 32}, "no model type that transformers"),
        ({"model_type": "vit_of_my_own"}, "no model type that transformers"),
        ({"model_type": "swin"}, "is no vision transformer with one token per patch"),
    ],
)
def test_folders_of_other_models_are_refused(config, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        read("vit_mae", tmp_path, options={})


def test_images_that_are_not_normalised(saved, tmp_path):
    saved["vit_mae"].model.save_pretrained(tmp_path)
    settings = {"image_processor_type": "ViTImageProcessor", "do_normalize": False, "size": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    found = read("vit_mae", tmp_path, options={}).preprocessing
    assert (found["mean"], found["std"]) == ([0, 0, 0], [1, 1, 1])


def test_layer_scales_of_deit_3_are_read_under_their_published_names(tmp_path):
    options = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
    model = {"model": "deit3_small_patch16_224.fb_in1k", "options": options}
    backbone = build_backbone(small_spec("timm", seed=5, **model))
    tensors = state(backbone)
    for number, name in enumerate(n for n in tensors if ".gamma" in n):
        tensors[name] = torch.full_like(tensors[name], number + 2)
    published = {
        n.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): t
        for n, t in tensors.items()
    }
    assert len(published) == len(tensors)
    assert "blocks.2.gamma_2" in published
    torch.save({"model": published}, tmp_path / "deit_3_small.pth")
    loaded = read("timm", tmp_path / "deit_3_small.pth", **model)
    assert all(torch.equal(t, tensors[n]) for n, t in loaded.model.state_dict().items())


def test_towers_from_timm_are_resampled_from_files_as_from_tags(tmp_path):
    import open_clip

    model = {"model": "ViT-B-16-SigLIP:webli", "options": {}}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        whole = open_clip.create_model("ViT-B-16-SigLIP")
    save_file(
        {n: t.contiguous() for n, t in whole.state_dict().items() if n.startswith("visual.")},
        tmp_path / "siglip.safetensors",
    )
    # What open_clip does to a tag's weights once they are loaded.
    whole.visual.set_input_size((112, 224))
    found = read("open_clip", tmp_path, image_size=[112, 224], **model)
    assert found.grid == (7, 14)
    expected = whole.visual.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in found.model.state_dict().items())


def test_a_text_tower_that_cannot_be_built_is_no_traceback(monkeypatch):
    import open_clip

    create = open_clip.create_model

    def without_tokenizer(*names, pretrained=None, **arguments):
        if pretrained:
            raise ValueError("tokenizer\nof two lines")
        return create(*names, **arguments)

    monkeypatch.setattr(open_clip, "create_model", without_tokenizer)
    with pytest.raises(UserError, match=r"with its text tower \(ValueError: tokenizer\): set `wei"):
        build_backbone(small_spec("open_clip", weights="pretrained"))


@pytest.mark.parametrize("registers", [0, 2])
def test_weights_with_more_tokens_of_the_prefix_are_refused(registers, saved, tmp_path):
    small = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
    model = small_spec("timm_registers").model
    save_weights(build_backbone(small_spec("timm_registers")), tmp_path / "four.safetensors")
    with pytest.raises(UserError, match=r"do not fit .*reg_token"):
        read(
            "timm",
            tmp_path / "four.safetensors",
            model=model,
            options=small | {"reg_tokens": registers},
        )


def test_registers_are_not_lost_where_a_configuration_forgets_them(tmp_path):
    build_backbone(small_spec("dinov2_with_registers")).model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "dinov2"}))
    with pytest.raises(UserError, match="register_tokens is one too many"):
        read("dinov2", tmp_path, options={})


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("said", ["bfloat16", "float16"])
def test_the_type_that_a_configuration_names_rounds_no_weights(said, key, saved, tmp_path):
    saved["vit_mae"].model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["dtype"]
    (tmp_path / "config.json").write_text(json.dumps(config | {key: said}))
    published = {"model": str(tmp_path), "weights": "pretrained"}
    for asked in ({"weights": str(tmp_path)}, published, published | {"options": {key: said}}):
        backbone = build_backbone(small_spec("vit_mae", **{"options": {}} | asked))
        assert backbone.weights_fingerprint == saved["vit_mae"].weights_fingerprint


def test_tokens_of_other_networks_in_a_file_are_left_out(saved, tmp_path):
    others = {
        "mask_token": torch.zeros(1, 1, 32),
        "decoder.cls_token": torch.zeros(1, 1, 32),
        "multimodal_model.cls_token": torch.zeros(1, 1, 32),
        "text.token_embedding.weight": torch.zeros(4, 32),
    }
    save_file(state(saved["timm"]) | others, tmp_path / "whole.safetensors")
    loaded = read("timm", tmp_path / "whole.safetensors")
    assert loaded.weights_fingerprint == saved["timm"].weights_fingerprint


NAFLEX = {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 8, "max_num_patches": 16}
FIXED = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}}


@pytest.mark.parametrize(
    "kind, processor, message",
    [
        ("siglip2_vision_model", FIXED, "half of those .*: the model is for them, the processor"),
        ("siglip_vision_model", NAFLEX, "half of those .*: the processor is for them, the model"),
        ("siglip2_vision_model", NAFLEX | {"patch_size": 16}, "patches of 16 .* model have 8"),
        ("siglip2_vision_model", NAFLEX | {"max_num_patches": None}, "max_num_patches is missing"),
        ("siglip2_vision_model", NAFLEX | {"max_num_patches": 0}, "max_num_patches is missing"),
        ("siglip2_vision_model", NAFLEX | {"max_num_patches": "16"}, "max_num_patches is '16'"),
        ("siglip2_vision_model", NAFLEX | {"max_num_patches": -1}, "max_num_patches is -1"),
    ],
)
def test_half_of_a_configuration_for_images_of_any_size(kind, processor, message, tmp_path):
    build_backbone(small_spec(kind)).model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    for image_size in (None, 32):
        with pytest.raises(UserError, match=message):
            read(kind, tmp_path, image_size=image_size, options={})


@pytest.mark.parametrize("patches", [16, 15, 20])
def test_a_whole_configuration_for_images_of_any_size(patches, tmp_path):
    build_backbone(small_spec("siglip2_vision_model")).model.save_pretrained(tmp_path)
    processor = NAFLEX | {"max_num_patches": patches}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    found = read("siglip2_vision_model", tmp_path, image_size=24, options={})
    assert (found.grid, found.preprocessing["resampling"]) == ((3, 3), "torch_bytes")


@pytest.mark.parametrize("places", [15, 12, 0, -4])
def test_positions_that_make_no_square_are_refused(places):
    options = small_spec("siglip2_vision_model").options | {"num_patches": places}
    with pytest.raises(UserError, match=f"'num_patches' .* is {places}, which is no square"):
        build_backbone(small_spec("siglip2_vision_model", options=options, image_size=None))
