"""open_clip."""

from visae.backbones.loaders import Loader

ENTRY = Loader(
    label="open_clip",
    description="Image towers of CLIP and SigLIP models.",
    model="architecture:tag",
    source="https://github.com/mlfoundations/open_clip/blob/main/docs/PRETRAINED.md",
    blocks=("vision_cfg", "layers"),
)
