"""Hugging Face transformers."""

from dataclasses import replace

from visae.backbones.loaders import Family, Loader, Preparing

ROUGH, SMOOTH = ("bicubic", False), ("bicubic", True)
# By the image processors with torchvision, which are the default since transformers 5.
SQUASHED = Preparing("squash", "bicubic", resampling="torch_bytes", margin="down")
BILINEAR = replace(SQUASHED, interpolation="bilinear")
CUT = replace(SQUASHED, resize_mode="shortest")
SEVEN_EIGHTHS = replace(CUT, share=224 / 256)

ENTRY = Loader(
    label="transformers",
    description="Vision transformers of any type, with weights from the Hugging Face hub.",
    model="hub id, or a model type such as vit_mae, which is then built from `options`",
    source="https://huggingface.co/models",
    token_orders=("raster", "permuted", "forward"),
    shuffling=("vit_mae",),
    blocks=("num_hidden_layers",),
    patch=("patch_size",),
    families={
        "dinov2": Family(
            r"dinov2$|facebook/dinov2-(small|base|large|giant)", 1e-6, "exact", ROUGH, SEVEN_EIGHTHS
        ),
        "dinov2_with_registers": Family(
            r"dinov2_with_registers$|facebook/dinov2-with-registers-",
            1e-6,
            "exact",
            SMOOTH,
            SEVEN_EIGHTHS,
        ),
        "dinov3": Family(
            r"dinov3_vit$|facebook/dinov3-vit",
            1e-5,
            "exact",
            None,
            replace(BILINEAR, resampling="torch_floats"),
        ),
        "clip_openai_large": Family(r"openai/clip-vit-large-", 1e-5, "quick", ROUGH, CUT),
        "clip_openai": Family(r"openai/clip-vit-base-", 1e-5, "quick", ROUGH, CUT),
        "clip": Family(r"clip_vision_model$|laion/CLIP-ViT-", 1e-5, None, ROUGH, CUT),
        "siglip2_tanh": Family(
            r"google/siglip2-(base-patch32|so400m-patch16-\d|giant-opt|large-patch16-512)",
            1e-6,
            "tanh",
            ROUGH,
            BILINEAR,
        ),
        "siglip2": Family(
            r"google/siglip2-((base|large)-patch16-\d|so400m-patch14)",
            1e-6,
            "tanh",
            ROUGH,
            BILINEAR,
        ),
        "siglip_tanh": Family(r"google/siglip-so400m-patch16", 1e-6, "tanh", ROUGH, SQUASHED),
        "siglip_so400m_14": Family(r"google/siglip-so400m-patch14", 1e-6, "tanh", ROUGH, SQUASHED),
        "siglip": Family(
            r"siglip_vision_model$|google/siglip-(base|large)-patch16-",
            1e-6,
            "tanh",
            ROUGH,
            SQUASHED,
        ),
        "mae": Family(r"vit_mae$|facebook/vit-mae-", 1e-12, "exact", ROUGH, BILINEAR),
        "deit": Family(
            r"vit$|deit$|facebook/deit-(base|small|tiny)-(distilled-)?patch16-224$",
            1e-12,
            "exact",
            ROUGH,
            replace(SEVEN_EIGHTHS, resize_mode="squash"),
        ),
    },
)
