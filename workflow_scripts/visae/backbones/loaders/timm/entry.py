"""timm, PyTorch Image Models."""

from visae.backbones.loaders import Loader

ENTRY = Loader(
    label="timm",
    description="Vision transformers with a list of blocks, with plain and convolutional stems.",
    model="architecture.tag",
    source="https://huggingface.co/timm",
    blocks=("depth",),
)
