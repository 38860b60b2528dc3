"""timm, PyTorch Image Models."""

from visae.backbones.loaders import Family, Loader, Preparing

SMOOTH = ("bicubic", True)
WHOLE = Preparing("shortest", "bicubic")
NINE_TENTHS = Preparing("shortest", "bicubic", 0.9, "down")

ENTRY = Loader(
    label="timm",
    description="Vision transformers with a list of blocks, with plain and convolutional stems.",
    model="architecture.tag",
    source="https://huggingface.co/timm",
    blocks=("depth",),
    patch=("patch_size",),
    families={
        "dinov2": Family(r"vit_\w+_patch14_dinov2\b", 1e-6, "exact", SMOOTH, WHOLE),
        "dinov2_with_registers": Family(
            r"vit_\w+_patch14_reg4_dinov2\b", 1e-6, "exact", SMOOTH, WHOLE
        ),
        "dinov3": Family(r"vit_\w+_patch16_dinov3(_qkvb)?\b", 1e-5, "exact", None, WHOLE),
        # Both GELUs are there, under two names of which one has the weights' own.
        "clip_openai_large": Family(
            r"vit_large_patch14_clip_(quickgelu_)?\d+\.openai$", 1e-5, None, SMOOTH, WHOLE
        ),
        "clip_openai": Family(
            r"vit_base_patch\d+_clip_(quickgelu_)?\d+\.openai$", 1e-5, None, SMOOTH, NINE_TENTHS
        ),
        # But those whose images open_clip squashes.
        "clip": Family(r"vit_\w+_clip_(quickgelu_)?(?!378)\d+\b(?!\.dfn5b)", 1e-5, None, SMOOTH),
        # The GELU of SigLIP goes by the model's size.
        "siglip2_tanh": Family(
            r"vit_(base_patch32|so400m_patch16|giantopt_patch16)_siglip_(gap_)?\d+\.v2_"
            r"|vit_large_patch16_siglip_(gap_)?512\.v2_",
            1e-6,
            "tanh",
            SMOOTH,
            NINE_TENTHS,
        ),
        "siglip2": Family(
            r"vit_((base|large)_patch16|so400m_patch14)_siglip_(gap_)?\d+\.v2_",
            1e-6,
            "exact",
            SMOOTH,
            NINE_TENTHS,
        ),
        "siglip_tanh": Family(r"vit_so400m_patch16_siglip_", 1e-6, "tanh", SMOOTH, NINE_TENTHS),
        "siglip_so400m_14": Family(r"vit_so400m_patch14_siglip_", 1e-6, "exact", SMOOTH),
        "siglip": Family(r"vit_(base|large)_patch16_siglip_", 1e-6, "exact", SMOOTH, NINE_TENTHS),
        "mae": Family(r"vit_\w+\.mae$", 1e-6, "exact", SMOOTH, NINE_TENTHS),
        "deit": Family(r"deit_\w+_patch16_224\b", 1e-6, "exact", SMOOTH, NINE_TENTHS),
    },
)
