"""Hugging Face transformers."""

from visae.backbones.loaders import Family, Loader, Preparing

ROUGH, SMOOTH = ("bicubic", False), ("bicubic", True)
SEVEN_EIGHTHS = Preparing("shortest", "bicubic", 224 / 256)

ENTRY = Loader(
    label="transformers",
    description="Vision transformers of any type, with weights from the Hugging Face hub.",
    model="hub id, or a model type such as vit_mae, which is then built from `options`",
    source="https://huggingface.co/models",
    token_orders=("raster", "permuted", "forward"),
    shuffling=("vit_mae",),
    blocks=("num_hidden_layers",),
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
            Preparing("squash", "bilinear"),
        ),
        "clip_openai": Family(
            r"openai/clip-vit-", 1e-5, "quick", ROUGH, Preparing("shortest", "bicubic")
        ),
        "clip": Family(
            r"clip_vision_model$|laion/CLIP-ViT-",
            1e-5,
            None,
            ROUGH,
            Preparing("shortest", "bicubic"),
        ),
        "siglip_tanh": Family(
            r"google/siglip2?-(base-patch32|so400m-patch16|giant-opt|large-patch16-512)",
            1e-6,
            "tanh",
            ROUGH,
            Preparing("squash", "bicubic"),
        ),
        "siglip": Family(
            r"siglip_vision_model$|google/siglip2?-(base|large)-patch16-",
            1e-6,
            "tanh",
            ROUGH,
            Preparing("squash", "bicubic"),
        ),
        "siglip_so400m_14": Family(
            r"google/siglip2?-so400m-patch14-", 1e-6, "tanh", ROUGH, Preparing("squash", "bicubic")
        ),
        "mae": Family(
            r"vit_mae$|facebook/vit-mae-", 1e-12, "exact", ROUGH, Preparing("squash", "bilinear")
        ),
        "deit": Family(
            r"vit$|deit$|facebook/deit-(base|small|tiny)-(distilled-)?patch16-224$",
            1e-12,
            "exact",
            ROUGH,
            Preparing("squash", "bicubic", 224 / 256),
        ),
    },
)
