"""Small transformers of every kind of model, with random weights, and pictures for them."""

import numpy as np
import torch
from PIL import Image

from visae.backbones import BackboneSpec
from visae.images.index import ClassRecord, ImageRecord, build_index

TINY = {
    "loader": "timm",
    "model": "deit_tiny_patch16_224.fb_in1k",
    "weights": "random",
    "image_size": 32,
    "options": {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2},
}
"""Settings of a backbone of 4×4 patches, D = 16 and 2 blocks."""

TIMM_SMALL = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
CLIP_SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"width": 32, "layers": 3, "head_width": 16, "patch_size": 8},
}
HF_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": 8,
}
HF_MLP = HF_SMALL | {"intermediate_size": 64}  # DINOv2's is given as a ratio
GEMMA_SMALL = TIMM_SMALL | {"head_dim": 16, "intermediate_size": 64}
TIMM_WRAPPED = {
    "architecture": "vit_pe_core_base_patch16_224",
    "model_args": TIMM_SMALL | {"img_size": 32},
}
# Model type → (options, number of prefix tokens).
HF_TYPES = {
    "vit_mae": (HF_MLP, 1),
    "vit": (HF_MLP, 1),
    "deit": (HF_MLP, 2),
    "dinov2": (HF_SMALL, 1),
    "dinov2_with_registers": (HF_SMALL, 5),
    "clip_vision_model": (HF_MLP, 1),
    "siglip_vision_model": (HF_MLP, 0),
    "dinov3_vit": (HF_MLP | {"num_register_tokens": 4}, 5),
    "siglip2_vision_model": (HF_MLP | {"num_patches": 16}, 0),
    "aimv2_vision_model": (HF_MLP, 0),
    "ijepa": (HF_MLP, 0),
    "vit_msn": (HF_MLP, 1),
    "data2vec-vision": (HF_MLP, 1),
    "beit": (HF_MLP, 1),
    "metaclip_2": (HF_MLP, 1),
    "timm_wrapper": (TIMM_WRAPPED, 1),
}
# Kind → (loader, model, options, number of prefix tokens).
SMALL = {
    "timm": ("timm", "deit_tiny_patch16_224.fb_in1k", TIMM_SMALL, 1),
    "timm_distilled": ("timm", "deit_tiny_distilled_patch16_224.fb_in1k", TIMM_SMALL, 2),
    "timm_registers": ("timm", "vit_small_patch14_reg4_dinov2.lvd142m", TIMM_SMALL, 5),
    "open_clip": ("open_clip", "ViT-B-16-quickgelu:openai", CLIP_SMALL, 1),
    **{kind: ("transformers", kind, *about) for kind, about in HF_TYPES.items()},
    "naflex": ("timm", "naflexvit_base_patch16_gap", TIMM_SMALL, 4),
    "gemma": ("timm", "gemma4_vit_167m", GEMMA_SMALL, 0),
    "gemma_encoder": ("timm", "gemma4_vit_167m_enc", GEMMA_SMALL | {"global_pool": ""}, 0),
    "sam": ("timm", "samvit_base_patch16", TIMM_SMALL, 0),
}
ONE_PER_LOADER = ("timm", "open_clip", "vit_mae", "clip_vision_model")


def small_spec(kind, **changes):
    """The spec of a small transformer: 4×4 patches of 8 pixels, D = 32, 3 blocks."""
    loader, model, options, _ = SMALL[kind]
    values = {"model": model, "weights": "random", "image_size": 32, "options": options}
    return BackboneSpec(kind, loader, **values | changes)


def some_images(count=2, side=32, seed=0):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def random_pictures(root, images, ending, name="{:02d}", seed=0):
    """The index of `images` pictures of random pixels below `root`, of two classes in turn."""
    generator, records = np.random.default_rng(seed), []
    for number in range(images):
        file = f"{name.format(number)}.{ending}"
        pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / file)
        label = number % 2
        records.append(ImageRecord(f"id-{name.format(number)}", file, label, f"c{label}"))
    return build_index(records, [ClassRecord(0, "c0"), ClassRecord(1, "c1")], root)
