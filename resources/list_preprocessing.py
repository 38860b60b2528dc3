"""Writes the table of docs/preprocessing.md: what each loader does to the images of a checkpoint.

python resources/list_preprocessing.py

Every checkpoint's model is built small, with random weights: its preprocessing needs none. Of
transformers, the preprocessor_config.json is written here with what the published one says.
"""

import json
import re
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import timm

from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.sizes import pair

PAGE = Path(__file__).parents[1] / "docs" / "preprocessing.md"
PLACE = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.DOTALL)

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
BILINEAR, BICUBIC = 2, 3  # Pillow's numbers, as they stand in preprocessor_config.json


def square(side):
    return {"height": side, "width": side}


def shortest(resize, crop):
    sizes = {"size": {"shortest_edge": resize}, "crop_size": square(crop)}
    return sizes | {"do_center_crop": True, "resample": BICUBIC}


def squashed(side, resample, kind="ViTImageProcessor"):
    return {"image_processor_type": kind, "size": square(side), "resample": resample}


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint as one loader reads it.

    kind: as the table names it. model: the loader's name; of transformers a model type, whose
    processor has the `settings`, or a model of timm's on the hub.
    """

    kind: str
    loader: str
    model: str
    settings: dict = field(default_factory=dict, hash=False)


BIT = {"image_processor_type": "BitImageProcessor", "do_convert_rgb": True} | IMAGENET
CLIP_PROCESSOR = {"image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True} | CLIP

CHECKPOINTS = (
    Checkpoint("DINOv2", "timm", "vit_base_patch14_dinov2.lvd142m"),
    Checkpoint("DINOv2", "transformers", "dinov2", BIT | shortest(256, 224)),
    Checkpoint("DINOv2, registers", "timm", "vit_base_patch14_reg4_dinov2.lvd142m"),
    Checkpoint(
        "DINOv2, registers", "transformers", "dinov2_with_registers", BIT | shortest(256, 224)
    ),
    Checkpoint("DINOv3", "timm", "vit_base_patch16_dinov3.lvd1689m"),
    Checkpoint(
        *("DINOv3", "transformers", "dinov3_vit"),
        squashed(224, BILINEAR, "DINOv3ViTImageProcessorFast") | IMAGENET,
    ),
    Checkpoint("CLIP", "timm", "vit_base_patch16_clip_224.openai"),
    Checkpoint("CLIP", "open_clip", "ViT-B-16-quickgelu:openai"),
    Checkpoint("CLIP", "transformers", "clip_vision_model", CLIP_PROCESSOR | shortest(224, 224)),
    Checkpoint("SigLIP", "timm", "vit_base_patch16_siglip_224.webli"),
    Checkpoint("SigLIP", "open_clip", "ViT-B-16-SigLIP:webli"),
    Checkpoint(
        *("SigLIP", "transformers", "siglip_vision_model"),
        squashed(224, BICUBIC, "SiglipImageProcessor") | HALF,
    ),
    Checkpoint("SigLIP 2", "timm", "vit_base_patch16_siglip_224.v2_webli"),
    Checkpoint("SigLIP 2", "open_clip", "ViT-B-16-SigLIP2:webli"),
    Checkpoint(
        *("SigLIP 2", "transformers", "siglip_vision_model"),
        squashed(224, BILINEAR, "SiglipImageProcessor") | HALF,
    ),
    Checkpoint("MAE", "timm", "vit_base_patch16_224.mae"),
    Checkpoint("MAE", "transformers", "vit_mae", squashed(224, BILINEAR) | IMAGENET),
    Checkpoint("DeiT", "timm", "deit_base_patch16_224.fb_in1k"),
    Checkpoint(
        *("DeiT", "transformers", "deit"),
        squashed(256, BICUBIC, "DeiTImageProcessor") | {"crop_size": square(224)} | IMAGENET,
    ),
    Checkpoint("BEiT", "timm", "beit_base_patch16_224.in22k_ft_in22k_in1k"),
    Checkpoint(
        *("BEiT", "transformers", "beit"),
        squashed(224, BILINEAR, "BeitImageProcessor") | {"do_center_crop": False} | HALF,
    ),
    Checkpoint("AIMv2", "timm", "aimv2_large_patch14_224.apple_pt"),
    Checkpoint("AIMv2", "transformers", "aimv2_vision_model", CLIP_PROCESSOR | shortest(224, 224)),
    Checkpoint("I-JEPA", "timm", "vit_huge_patch14_gap_224.in1k_ijepa"),
    Checkpoint("I-JEPA", "transformers", "ijepa", squashed(224, BILINEAR) | HALF),
    Checkpoint("MSN", "transformers", "vit_msn", squashed(224, BILINEAR) | IMAGENET),
    Checkpoint("MobileCLIP", "timm", "vit_base_mci_224.apple_mclip"),
    Checkpoint("MobileCLIP", "open_clip", "MobileCLIP-B:datacompdr"),
    Checkpoint("PE", "timm", "vit_pe_core_base_patch16_224.fb"),
    Checkpoint("PE", "open_clip", "PE-Core-B-16:meta"),
    Checkpoint("PE", "transformers", "vit_pe_core_base_patch16_224.fb"),
)

# Of the smallest networks: nothing of them is looked at. A timm model's config.json on the hub has
# its settings.
WRAPPED = {"num_classes": 0, "model_args": {"depth": 1}}
SMALL = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
SMALL |= {"num_attention_heads": 2, "image_size": 224, "patch_size": 56}


def built(checkpoint, folder, image_size=None):
    """The checkpoint's `Backbone`, small and with random weights; `folder`: an empty one."""
    options = {"depth": 1}
    model = checkpoint.model
    if checkpoint.loader == "open_clip":
        small = {"width": 64, "layers": 1, "head_width": 32, "patch_size": 56}
        options = {"embed_dim": 16, "vision_cfg": small | {"timm_model_name": None}}
    if checkpoint.loader == "transformers":
        config = SMALL | {"model_type": model} if checkpoint.settings else wrapped(model)
        (folder / "config.json").write_text(json.dumps(config))
        if checkpoint.settings:
            (folder / "preprocessor_config.json").write_text(json.dumps(checkpoint.settings))
        model, options = str(folder), {}
    name = checkpoint.kind
    spec = BackboneSpec(name, checkpoint.loader, model, "random", image_size, options=options)
    return build_backbone(spec)


def wrapped(model):
    """The config.json of a timm model on the hub."""
    settings = timm.get_pretrained_cfg(model, allow_unregistered=False)
    known = {} if settings is None else settings.to_dict()
    return WRAPPED | {"architecture": model.partition(".")[0], "pretrained_cfg": known}


def described(preprocessing):
    """The columns of the table for a `Preprocessing`."""
    height, width = pair(preprocessing.resize)
    whole = preprocessing.resize_mode == "squash"
    resized = f"to {height} × {width}" if whole else f"shorter side to {height}"
    floats = preprocessing.resampling == "torch_floats"
    return (
        resized,
        str(preprocessing.crop),
        preprocessing.interpolation,
        "Pillow" if preprocessing.resampling == "pillow" else "torch",
        "no" if floats else "to bytes",
        preprocessing.margin,
    )


def table():
    """The table as Markdown."""
    packages = ("timm", "open_clip_torch", "transformers", "torchvision", "pillow")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    lines = [
        f"With {versions}.",
        "",
        "| Checkpoint | Loader | Resized | Cut to | Filter | By | Rounded | Margin |",
        "|---|---|---|---:|---|---|---|---|",
    ]
    for checkpoint in CHECKPOINTS:
        with tempfile.TemporaryDirectory() as folder:
            found = described(built(checkpoint, Path(folder)).transform)
        lines.append(f"| {' | '.join((checkpoint.kind, checkpoint.loader, *found))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(rf"\1{table()}\n\2", text), encoding="utf-8")
