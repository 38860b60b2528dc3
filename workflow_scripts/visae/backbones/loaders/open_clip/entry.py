"""open_clip."""

from visae.backbones.loaders import Family, Loader, Preparing

SMOOTH = ("bicubic", True)
WHOLE = Preparing("shortest", "bicubic")
SQUASHED = Preparing("squash", "bicubic")

ENTRY = Loader(
    label="open_clip",
    description="Image towers of CLIP and SigLIP models.",
    model="architecture:tag",
    source="https://github.com/mlfoundations/open_clip/blob/main/docs/PRETRAINED.md",
    blocks=("vision_cfg", "layers"),
    patch=("vision_cfg", "patch_size"),
    families={
        "clip_openai_large": Family(
            r"ViT-L-14(-336)?(-quickgelu)?:openai$", 1e-5, "quick", SMOOTH, WHOLE
        ),
        "clip_openai": Family(r"ViT-B-\d+(-quickgelu)?:openai$", 1e-5, "quick", SMOOTH, WHOLE),
        "clip": Family(
            r"ViT-(B|L|H|g|bigG)-\d+(-336)?(-quickgelu)?:(?!dfn5b)", 1e-5, None, SMOOTH, WHOLE
        ),
        # Towers from timm, of which the GELU goes by the model's size.
        "siglip2_tanh": Family(
            r"ViT-(B-32|SO400M-16|gopt-16)-SigLIP2|ViT-L-16-SigLIP2-512:",
            1e-6,
            "tanh",
            SMOOTH,
            SQUASHED,
        ),
        "siglip2": Family(r"ViT-([BL]-16|SO400M-14)-SigLIP2", 1e-6, "exact", SMOOTH, SQUASHED),
        "siglip_tanh": Family(r"ViT-SO400M-16-SigLIP-", 1e-6, "tanh", SMOOTH, SQUASHED),
        "siglip_so400m_14": Family(r"ViT-SO400M-14-SigLIP", 1e-6, "exact", SMOOTH, SQUASHED),
        "siglip": Family(r"ViT-[BL]-16-SigLIP", 1e-6, "exact", SMOOTH, SQUASHED),
    },
)
