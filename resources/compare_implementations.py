"""How far activations of equal weights lie apart in three libraries, and which setting joins them.

python resources/compare_implementations.py [dinov2 | clip | … | page]

Weights are drawn once per family of models, in timm's names, and written under each library's. Each
backbone then reads its file, as a study does. Written are docs/implementations.csv, a line for each
two libraries, and from it the tables of docs/implementations.md. `page` writes these alone.
"""

import csv
import itertools
import json
import math
import re
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from list_preprocessing import CHECKPOINTS
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoConfig

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.loaders import LOADERS

DOCS = Path(__file__).parents[1] / "docs"
TABLE, PAGE = DOCS / "implementations.csv", DOCS / "implementations.md"
TABLES = ("smooth", "rough")
BLOCKS = (3, 11)
ZERO = 1e-5


@dataclass(frozen=True)
class Kind:
    """A family of models, as the libraries build it.

    models: loader → model. patch: pixels of its side. native: image size of the table of
    positions. prefix: tokens before the patches, `registers` among them. scaled: whether blocks
    have layer scales. biased: whether the patch embedding has a bias. rotary: whether queries and
    keys are turned by their position, without a table. kind: the type of model in transformers.
    renames: timm's names → transformers', as regular expressions, the first that fits.
    """

    label: str
    kind: str
    models: dict
    native: int
    patch: int
    prefix: int
    renames: tuple
    registers: int = 0
    scaled: bool = False
    biased: bool = True
    rotary: bool = False


DINO = (
    (r"reg_token", "embeddings.register_tokens"),
    (r"(cls_token)", r"embeddings.\1"),
    (r"pos_embed", "embeddings.position_embeddings"),
    (r"patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"blocks\.(\d+)\.ls(\d)\.gamma", r"encoder.layer.\1.layer_scale\2.lambda1"),
    (r"blocks\.(\d+)\.attn\.proj\.", r"encoder.layer.\1.attention.o_proj."),
    (r"blocks\.(\d+)\.attn\.([qkv])\.", r"encoder.layer.\1.attention.\2_proj."),
    (r"blocks\.", "encoder.layer."),
    (r"norm\.", "layernorm."),
)
DINOV3 = (
    (r"patch_embed\.proj\.", "embeddings.patch_embeddings."),
    (r"blocks\.(\d+)\.(ls(\d)\.gamma)", r"model.layer.\1.layer_scale\3.lambda1"),
    (r"blocks\.(\d+)\.attn\.proj\.", r"model.layer.\1.attention.o_proj."),
    (r"blocks\.(\d+)\.attn\.([qkv])\.", r"model.layer.\1.attention.\2_proj."),
    (r"blocks\.(\d+)\.mlp\.fc1", r"model.layer.\1.mlp.up_proj"),
    (r"blocks\.(\d+)\.mlp\.fc2", r"model.layer.\1.mlp.down_proj"),
    (r"blocks\.", "model.layer."),
    *DINO[:2],
)
VIT = (
    *DINO[1:4],
    (r"blocks\.(\d+)\.attn\.proj\.", r"layers.\1.attention.o_proj."),
    (r"blocks\.(\d+)\.attn\.([qkv])\.", r"layers.\1.attention.\2_proj."),
    (r"blocks\.(\d+)\.norm1", r"layers.\1.layernorm_before"),
    (r"blocks\.(\d+)\.norm2", r"layers.\1.layernorm_after"),
    (r"blocks\.", "layers."),
    (r"norm\.", "layernorm."),
)
TWO_TOWERS = (
    (r"cls_token", "embeddings.class_embedding"),
    (r"pos_embed", "embeddings.position_embedding.weight"),
    (r"patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"norm_pre\.", "pre_layrnorm."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.out_proj."),
    (r"blocks\.(\d+)\.attn\.([qkv])\.", r"encoder.layers.\1.self_attn.\2_proj."),
    (r"blocks\.(\d+)\.norm(\d)", r"encoder.layers.\1.layer_norm\2"),
    (r"blocks\.", "encoder.layers."),
    (r"norm\.", "post_layernorm."),
)
OPEN_CLIP = (
    (r"cls_token", "class_embedding"),
    (r"pos_embed", "positional_embedding"),
    (r"patch_embed\.proj\.", "conv1."),
    (r"norm_pre\.", "ln_pre."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"transformer.resblocks.\1.attn.out_proj."),
    (r"blocks\.(\d+)\.attn\.qkv\.", r"transformer.resblocks.\1.attn.in_proj_"),
    (r"blocks\.(\d+)\.norm(\d)", r"transformer.resblocks.\1.ln_\2"),
    (r"blocks\.(\d+)\.mlp\.fc1", r"transformer.resblocks.\1.mlp.c_fc"),
    (r"blocks\.(\d+)\.mlp\.fc2", r"transformer.resblocks.\1.mlp.c_proj"),
    (r"norm\.", "ln_post."),
)

KINDS = {
    "dinov2": Kind(
        "DINOv2",
        "dinov2",
        {"timm": "vit_small_patch14_dinov2.lvd142m", "transformers": "facebook/dinov2-small"},
        native=518,
        patch=14,
        prefix=1,
        renames=DINO,
        scaled=True,
    ),
    "dinov2_with_registers": Kind(
        "DINOv2, registers",
        "dinov2_with_registers",
        {
            "timm": "vit_small_patch14_reg4_dinov2.lvd142m",
            "transformers": "facebook/dinov2-with-registers-small",
        },
        native=518,
        patch=14,
        prefix=5,
        renames=DINO,
        registers=4,
        scaled=True,
    ),
    "dinov3": Kind(
        "DINOv3",
        "dinov3_vit",
        {
            "timm": "vit_small_patch16_dinov3.lvd1689m",
            "transformers": "facebook/dinov3-vits16-pretrain-lvd1689m",
        },
        native=256,
        patch=16,
        prefix=5,
        renames=DINOV3,
        registers=4,
        scaled=True,
        rotary=True,
    ),
    "clip": Kind(
        "CLIP",
        "clip_vision_model",
        {
            "timm": "vit_base_patch16_clip_quickgelu_224.openai",
            "open_clip": "ViT-B-16-quickgelu:openai",
            "transformers": "openai/clip-vit-base-patch16",
        },
        native=224,
        patch=16,
        prefix=1,
        renames=TWO_TOWERS,
        biased=False,
    ),
    "siglip": Kind(
        "SigLIP",
        "siglip_vision_model",
        {
            "timm": "vit_base_patch16_siglip_224.webli",
            "open_clip": "ViT-B-16-SigLIP:webli",
            "transformers": "google/siglip-base-patch16-224",
        },
        native=224,
        patch=16,
        prefix=0,
        renames=TWO_TOWERS,
    ),
    "siglip2": Kind(
        "SigLIP 2",
        "siglip_vision_model",
        {
            "timm": "vit_base_patch16_siglip_256.v2_webli",
            "open_clip": "ViT-B-16-SigLIP2-256:webli",
            "transformers": "google/siglip2-base-patch16-256",
        },
        native=256,
        patch=16,
        prefix=0,
        renames=TWO_TOWERS,
    ),
    "mae": Kind(
        "MAE",
        "vit_mae",
        {"timm": "vit_base_patch16_224.mae", "transformers": "facebook/vit-mae-base"},
        native=224,
        patch=16,
        prefix=1,
        renames=VIT,
    ),
    "deit": Kind(
        "DeiT",
        "vit",
        {"timm": "deit_base_patch16_224.fb_in1k", "transformers": "facebook/deit-base-patch16-224"},
        native=224,
        patch=16,
        prefix=1,
        renames=VIT,
    ),
}


class Shape(NamedTuple):
    """Sizes of a model: blocks, D, and the image size of its table of positions."""

    depth: int
    width: int
    native: int


# ---------------------------------------------------------------- equal weights


def drawn(kind, shape, table="rough", seed=0):
    """Random weights by timm's names, with q, k and v apart: {name: tensor}.

    Patch embeddings, and what each branch of a block adds, are of the order of 1. table: `rough`,
    positions independent of each other; `smooth`, some waves over the image.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*size, std=1.0, mean=0.0):
        return torch.randn(*size, generator=generator) * std + mean

    width, side = shape.width, shape.native // kind.patch
    tensors = {
        "patch_embed.proj.weight": normal(
            width, 3, kind.patch, kind.patch, std=1 / math.sqrt(3 * kind.patch**2)
        ),
        "norm.weight": normal(width, std=0.1, mean=1),
        "norm.bias": normal(width, std=0.1),
    }
    if kind.biased:
        tensors["patch_embed.proj.bias"] = normal(width, std=0.1)
    else:
        tensors["norm_pre.weight"] = normal(width, std=0.1, mean=1)
        tensors["norm_pre.bias"] = normal(width, std=0.1)
    if kind.prefix:
        tensors["cls_token"] = normal(1, 1, width)
    if kind.registers:
        tensors["reg_token"] = normal(1, kind.registers, width)
    if not kind.rotary:
        waves = _waves(side) if table == "smooth" else torch.eye(side**2)
        mixed = normal(
            waves.shape[1], width, std=1 / math.sqrt(float(waves.square().sum(1).mean()))
        )
        tensors["pos_embed"] = (waves @ mixed)[None]
    for block in range(shape.depth):
        start = f"blocks.{block}."
        for name in ("norm1", "norm2"):
            tensors[f"{start}{name}.weight"] = normal(width, std=0.1, mean=1)
            tensors[f"{start}{name}.bias"] = normal(width, std=0.1)
        for name, rows, columns in (
            *((f"attn.{each}", width, width) for each in ("q", "k", "v", "proj")),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            tensors[f"{start}{name}.weight"] = normal(rows, columns, std=1 / math.sqrt(columns))
            tensors[f"{start}{name}.bias"] = normal(rows, std=0.1)
        if kind.scaled:
            for name in ("ls1.gamma", "ls2.gamma"):
                tensors[start + name] = normal(width, std=0.1, mean=0.5)
        if kind.rotary:  # which has none in timm's and none of keys in transformers
            for name in ("q", "k", "v"):
                tensors[f"{start}attn.{name}.bias"] = torch.zeros(width)
    return tensors


def _waves(side):
    """Cosines of up to two periods over a grid, as columns: [side², 25]."""
    place = (torch.arange(side) + 0.5) / side
    lines = torch.stack([torch.cos(math.pi * n * place) for n in range(5)], dim=1)
    return torch.einsum("ya,xb->yxab", lines, lines).reshape(side**2, -1)


def in_the_names_of(loader, kind, tensors):
    """The same weights as a file of a loader's library has them: {name: tensor}."""
    tensors = dict(tensors)
    if loader == "transformers":
        return _of_transformers(kind, tensors)
    if kind.rotary:
        tensors = {n: t for n, t in tensors.items() if not re.search(r"attn\.[qkv]\.bias", n)}
        tensors = {re.sub(r"ls(\d)\.gamma", r"gamma_\1", n): t for n, t in tensors.items()}
    for name in [n for n in tensors if ".attn.q." in n]:
        parts = [tensors.pop(name.replace(".q.", f".{each}.")) for each in "qkv"]
        tensors[name.replace(".q.", ".qkv.")] = torch.cat(parts)
    if kind.prefix and not kind.registers:
        tensors["pos_embed"] = _with_class_position(tensors["pos_embed"])
    if loader == "timm":
        return tensors
    if kind.biased:
        return {f"visual.trunk.{name}": tensor for name, tensor in tensors.items()}
    for name in ("cls_token", "pos_embed"):
        tensors[name] = tensors[name].reshape(-1, tensors[name].shape[-1])
    tensors["cls_token"] = tensors["cls_token"][0]
    return {f"visual.{renamed(OPEN_CLIP, name)}": tensor for name, tensor in tensors.items()}


def _with_class_position(table):
    """A table in which the class token has a position of its own, which is 0."""
    return torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)


def _of_transformers(kind, tensors):
    if kind.prefix and "pos_embed" in tensors:
        tensors["pos_embed"] = _with_class_position(tensors["pos_embed"])
    if kind.renames is TWO_TOWERS:
        tensors["pos_embed"] = tensors["pos_embed"][0]
        if kind.prefix:
            tensors["cls_token"] = tensors["cls_token"][0, 0]
    if kind.rotary:
        tensors = {n: t for n, t in tensors.items() if not n.endswith("attn.k.bias")}
    return {renamed(kind.renames, name): tensor for name, tensor in tensors.items()}


def renamed(renames, name):
    """A name after the first of `renames` that fits its beginning."""
    for pattern, other in renames:
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", other, name)
    return name


# ---------------------------------------------------------------- backbones


def small_tower(shape):
    """A name by which timm, and so open_clip, builds a SigLIP tower of `shape`, which it lacks."""
    name = f"siglip_of_{shape.width}_by_{shape.depth}_for_{shape.native}"
    if not timm.is_model(name):

        def build(pretrained=False, **kwargs):
            sizes: dict[str, Any] = options_of("timm", KINDS["siglip"], shape)
            sizes["img_size"] = shape.native
            return timm.create_model("vit_base_patch16_siglip_224", **sizes | kwargs)

        build.__name__, build.__module__ = name, "timm.models.vision_transformer"
        timm.models.register_model(build)
    return name


def options_of(loader, kind, shape):
    """The options of a loader that build a model of `shape`."""
    heads = max(1, shape.width // 64)
    if loader == "timm":
        return {"embed_dim": shape.width, "depth": shape.depth, "num_heads": heads}
    if loader == "open_clip":
        if kind.biased:
            return {"vision_cfg": {"timm_model_name": small_tower(shape)}}
        vision = {"width": shape.width, "layers": shape.depth, "head_width": shape.width // heads}
        return {"embed_dim": 16, "vision_cfg": vision}
    options = {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": heads,
        "patch_size": kind.patch,
        "image_size": shape.native,
    }
    if kind.renames is not DINO:
        options["intermediate_size"] = 4 * shape.width
    if kind.registers:
        options["num_register_tokens"] = kind.registers
    return options


def write(kind, loader, shape, tensors, folder):
    """Write drawn weights as a loader's library has them, below `folder`: the path to give."""
    path = Path(folder) / f"{loader}.safetensors"
    if loader == "transformers":
        path = Path(folder) / loader / "model.safetensors"
        path.parent.mkdir()
        options = options_of(loader, kind, shape)
        AutoConfig.for_model(kind.kind, **options).to_json_file(path.parent / "config.json")
        processor = json.dumps(processor_of(kind))
        (path.parent / "preprocessor_config.json").write_text(processor, encoding="utf-8")
    named = in_the_names_of(loader, kind, tensors)
    save_file({name: tensor.contiguous() for name, tensor in named.items()}, path)
    return path.parent if loader == "transformers" else path


def processor_of(kind):
    """The settings that lie beside the published weights on the hub."""
    published = [each for each in CHECKPOINTS if each.loader == "transformers"]
    return next(each.settings for each in published if each.kind == kind.label)


def built(kind, loader, shape, weights, size, implementation=None):
    """A backbone of `loader` that reads `weights`, as `write` has left them.

    size: of images, in pixels.
    """
    spec = BackboneSpec(
        kind.label,
        loader,
        kind.models[loader],
        str(weights),
        size,
        options={} if loader == "transformers" else options_of(loader, kind, shape),
        implementation=implementation,
    )
    return build_backbone(spec)


def apart(tokens, others):
    """The relative difference of tokens from others, by their norms."""
    return float((tokens - others).norm() / others.norm())


# ---------------------------------------------------------------- the table


def photograph():
    """A photograph of 640 × 427 pixels, which scikit-learn brings along: a PIL image."""
    import sklearn.datasets

    return Image.open(Path(sklearn.datasets.__file__).parent / "images" / "china.jpg")


def square(image, size):
    """The middle of an image at `size` × `size` pixels: uint8 [1, 3, size, size]."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    cut = image.crop((left, top, left + side, top + side)).resize((size, size))
    return torch.from_numpy(np.asarray(cut).transpose(2, 0, 1).copy())[None]


def compared(name, table):
    """The lines of one family and one table of positions: dictionaries."""
    kind = KINDS[name]
    shape, image = Shape(12, 192, kind.native), photograph()
    tensors = drawn(kind, shape, table)
    with tempfile.TemporaryDirectory() as folder:
        files = {loader: write(kind, loader, shape, tensors, folder) for loader in kind.models}
        for size in sorted({kind.native, 224} | ({336} if kind.native == 224 else set())):
            seen = {
                (loader, chosen): read(kind, loader, shape, files[loader], size, chosen, image)
                for loader in kind.models
                for chosen in (None, *(other for other in kind.models if other != loader))
            }
            for one, other in itertools.combinations(kind.models, 2):
                for what in ("pixels", "file"):
                    line = {
                        "family": kind.label,
                        "positions": table,
                        "native": kind.native,
                        "size": size,
                        "from": what,
                        "one": one,
                        "other": other,
                    }
                    for block in BLOCKS:
                        key = (what, block)
                        ours, theirs = seen[one, None][key], seen[other, None][key]
                        line[f"block_{block}"] = apart(ours, theirs)
                        line[f"one_as_other_{block}"] = apart(seen[one, other][key], theirs)
                        line[f"other_as_one_{block}"] = apart(seen[other, one][key], ours)
                    yield {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in line.items()}


def read(kind, loader, shape, weights, size, implementation, image):
    """{(what is given, block): patch tokens} of one backbone."""
    backbone = built(kind, loader, shape, weights, size, implementation)
    given = {
        "pixels": backbone.normalise(square(image, size)),
        "file": backbone.preprocess(image)[None],
    }
    return {
        (what, block): tokens[0]
        for what, pixels in given.items()
        for block, tokens in backbone.patch_tokens_of(pixels, BLOCKS).items()
    }


# ---------------------------------------------------------------- what is written

GELU = {"exact": "exact", "tanh": "tanh", "quick": "quick", None: "the weights'"}


def facts():
    """The table of what the loaders' entries say, as lines of Markdown."""
    yield "| Family | Library | Positions | GELU | eps | Images |"
    yield "|---|---|---|---|---|---|"
    for family in dict.fromkeys(name for loader in LOADERS for name in LOADERS[loader].families):
        for loader in LOADERS:
            if said := LOADERS[loader].families.get(family):
                yield (
                    f"| {family} | {loader} | {_positions(said)} | {GELU[said.gelu]} | "
                    f"`{said.eps:g}` | {_images(said.preparing)} |"
                )


def _positions(family):
    if family.resampling is None:
        return "no table"
    mode, antialiased = family.resampling
    return f"{mode}, {'' if antialiased else 'not '}antialiased"


def _images(preparing):
    if preparing is None:
        return "by the model"
    share = f", middle {preparing.share:.3g}" if preparing.share < 1 else ""
    by = f"{preparing.resampling}, {preparing.margin}"
    return f"{preparing.resize_mode}, {preparing.interpolation}{share}, {by}"


def differences(lines):
    """The table of how far libraries lie apart, as lines of Markdown."""
    columns = "Models | Libraries | Pixels | Block 3 | Block 11 | Set | From file"
    yield f"| {columns} |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    groups = {}
    for line in lines:
        key = line["family"], line["one"], line["other"], line["size"]
        groups.setdefault(key, []).append(line)
    for (family, one, other, size), found in groups.items():
        of = {what: [x for x in found if x["from"] == what] for what in ("pixels", "file")}
        settings = [
            f"{side}_{block}" for side in ("one_as_other", "other_as_one") for block in BLOCKS
        ]
        largest = max(float(line[key]) for line in found for key in settings)
        own = " (own)" if int(size) == int(found[0]["native"]) else ""
        block_3, block_11 = (_span(of["pixels"], f"block_{block}") for block in BLOCKS)
        yield (
            f"| {family} | {one}, {other} | {size}{own} | {block_3} | {block_11} | "
            f"{_said(largest)} | {_span(of['file'], 'block_11')} |"
        )


def _span(lines, key):
    """The values of the smooth and the rough table, one where they are alike."""
    said = list(dict.fromkeys(_said(float(line[key])) for line in lines))
    return " – ".join(said)


def _said(value):
    if value <= ZERO:
        return "0"
    return f"{value:.1e}" if value < 1e-3 else f"{value:.1%}"


def parts(lines):
    """What stands between marks in the page, by the marks' name."""
    packages = ("timm", "open_clip_torch", "transformers", "torch")
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    return {
        "facts": "\n".join(facts()),
        "differences": "\n".join(differences(lines)),
        "versions": f"Made with {versions}.",
    }


def write_page(lines):
    """Put both tables, and the versions, between their marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, part in parts(lines).items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n\n{part}\n\n{end}{rest.split(end)[1]}"
    PAGE.write_text(text, encoding="utf-8")


def read_lines():
    """The lines of the table as they lie in docs; none where there is no table."""
    if not TABLE.is_file():
        return []
    with TABLE.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main(names):
    """Compare the families called `names`, and write them among the others."""
    found = {
        kind.label: [x for x in read_lines() if x["family"] == kind.label]
        for kind in KINDS.values()
    }
    for name in names:
        found[KINDS[name].label] = [line for table in TABLES for line in compared(name, table)]
    lines = [line for family in found.values() for line in family]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, lines[0], lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
    write_page(lines)


if __name__ == "__main__":
    main([] if sys.argv[1:] == ["page"] else sys.argv[1:] or KINDS)
