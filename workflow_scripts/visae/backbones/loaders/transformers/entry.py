"""Hugging Face transformers."""

from visae.backbones.loaders import Loader

ENTRY = Loader(
    label="transformers",
    description="Vision transformers of any type, with weights from the Hugging Face hub.",
    model="hub id, or a model type such as vit_mae, which is then built from `options`",
    source="https://huggingface.co/models",
    token_orders=("raster", "permuted", "forward"),
    shuffling=("vit_mae",),
    blocks=("num_hidden_layers",),
)
