"""Vision transformers of Hugging Face transformers, by hub id or by model type.

`ViTMAEModel` shuffles the patches at random in every forward pass, also in evaluation mode and
with nothing masked. Here it is given an increasing "noise" to sort by, which leaves the patches
in raster order (`token_order: permuted` shuffles them on purpose, reproducibly).
"""

import difflib
import importlib
from pathlib import Path

import torch
import transformers

from visae.backbones.backbone import Backbone
from visae.backbones.preprocessing import Preprocessing
from visae.backbones.weights import construction, download, load_into, random_weights, read_weights
from visae.errors import UserError

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}


def _settings(mode, resize, interpolation, normalisation):
    return Preprocessing(mode, resize, 224, interpolation, **normalisation)


# Model type → class, and the preprocessing of the published checkpoint that the paper names (or,
# for `vit`, of google/vit-base-patch16-224), for weights that come without a
# preprocessor_config.json.
MODEL_TYPES = {
    "clip_vision_model": ("CLIPVisionModel", _settings("shortest", 224, "bicubic", CLIP)),
    "deit": ("DeiTModel", _settings("squash", 256, "bicubic", IMAGENET)),
    "dinov2": ("Dinov2Model", _settings("shortest", 256, "bicubic", IMAGENET)),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        _settings("shortest", 256, "bicubic", IMAGENET),
    ),
    "siglip_vision_model": ("SiglipVisionModel", _settings("squash", 224, "bicubic", HALF)),
    "vit": ("ViTModel", _settings("squash", 224, "bilinear", HALF)),
    "vit_mae": ("ViTMAEModel", _settings("squash", 224, "bilinear", IMAGENET)),
}


def load(spec):
    """Build the vision model; position embeddings are interpolated to `spec.image_size`."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    source = _source(spec)
    config = _config(spec, source)
    with construction(spec):
        name, preprocessing = MODEL_TYPES[config.model_type]
        model_class = getattr(importlib.import_module("transformers"), name)
    arguments = {"add_pooling_layer": False} if name in ("ViTModel", "DeiTModel") else {}
    if spec.weights == "random":
        with construction(spec), random_weights(spec.seed):
            model = model_class(config, **arguments)
    else:
        model = _with_weights(spec, model_class, config, source, arguments)
    side = spec.image_size or config.image_size
    if source is not None:
        preprocessing = _published_preprocessing(spec, source, preprocessing)
    return Backbone(
        spec,
        model,
        blocks=_blocks(model),
        run=_runner(model, side),
        patch_size=config.patch_size,
        prefix_tokens=_prefix_tokens(model.embeddings),
        preprocessing=_at_size(preprocessing, side),
    )
