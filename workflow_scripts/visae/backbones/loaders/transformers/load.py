"""Vision transformers of Hugging Face transformers, by hub id or by model type.

`ViTMAEModel` shuffles the patches at random in every forward pass, also in evaluation mode and
with nothing masked. Here it is given an increasing "noise" to sort by, which leaves the patches
in raster order (`token_order: permuted` shuffles them on purpose, reproducibly). With `token_order:
forward` the noise is random as there, but drawn from the backbone's seed and the image's id.

The preprocessing is that of the image processors, except that a centre crop whose margins
differ by one pixel may lie one pixel further (`Preprocessing` rounds as torchvision does).
"""

import difflib
from dataclasses import replace
from pathlib import Path

import torch
import transformers
from PIL import Image

from visae.backbones.backbone import Backbone
from visae.backbones.preprocessing import Preprocessing
from visae.backbones.weights import (
    check_fit,
    construction,
    download,
    fitting,
    random_weights,
    read_weights,
)
from visae.base.errors import UserError

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
    if spec.token_order == "forward" and config.model_type != "vit_mae":
        raise UserError(
            f"Backbone '{spec.name}' asks for the token order 'forward', but the forward pass of "
            f"'{spec.model}' leaves patches in raster order: choose raster or permuted, or a model "
            "of type vit_mae."
        )
    class_name, preprocessing = MODEL_TYPES[config.model_type]
    model_class = getattr(transformers, class_name)
    # The pooling layers of these two are for classification; published files often lack them.
    arguments = {"add_pooling_layer": False} if class_name in ("ViTModel", "DeiTModel") else {}
    if spec.weights == "random":
        with construction(spec), random_weights(spec.seed):
            model = model_class(config, **arguments)
    else:
        model = _with_weights(spec, model_class, config, source, arguments)
    if source is not None:
        preprocessing = _published_preprocessing(spec, source, preprocessing)
    side = spec.image_size or config.image_size
    return Backbone(
        spec,
        model,
        blocks=_blocks(model),
        run=_runner(model, side),
        patch_size=config.patch_size,
        prefix_tokens=_prefix_tokens(model.embeddings),
        preprocessing=replace(
            preprocessing,
            resize=round(side * preprocessing.resize / preprocessing.crop),
            crop=side,
        ),
    )


def _source(spec):
    """The folder or hub id that holds the model's configuration; None for a bare model type."""
    if (Path(spec.weights) / "config.json").is_file():
        return spec.weights
    if spec.model in MODEL_TYPES:
        return None
    if "/" in spec.model:
        return spec.model
    close = difflib.get_close_matches(spec.model, MODEL_TYPES) or MODEL_TYPES
    raise UserError(
        f"'{spec.model}', which backbone '{spec.name}' asks for, is neither a hub id (with a `/`) "
        f"nor a model type that is known here: did you mean {' or '.join(close)}?"
    )


def _config(spec, source):
    """The model's configuration, changed by `spec.options`; of CLIP and SigLIP the vision part."""
    if source is None:
        config = transformers.AutoConfig.for_model(spec.model)
        options = {} if spec.image_size is None else {"image_size": spec.image_size}
    else:
        with download(spec):
            config = transformers.AutoConfig.from_pretrained(source)
        config = getattr(config, "vision_config", config)
        options = {}
    if config.model_type not in MODEL_TYPES:
        raise UserError(
            f"'{source}' of backbone '{spec.name}' has the model type '{config.model_type}', which "
            f"is not known here: choose a model of type {', '.join(MODEL_TYPES)}."
        )
    unknown = [name for name in spec.options if not hasattr(config, name)]
    if unknown:
        raise UserError(
            f"The option '{unknown[0]}' of backbone '{spec.name}' does not exist for the model "
            f"type '{config.model_type}': see {type(config).__name__} of transformers."
        )
    options = options | spec.options
    if config.model_type == "vit_mae":
        options["mask_ratio"] = 0.0
    with construction(spec):
        if source is None:
            return transformers.AutoConfig.for_model(spec.model, **options)
        config.update(options)
        return config


def _with_weights(spec, model_class, config, source, arguments):
    """The model with published or local weights, all of them found."""
    if spec.weights == "pretrained":
        if source is None:
            raise UserError(
                f"Backbone '{spec.name}' asks for pretrained weights of '{spec.model}', which is a "
                "model type: set `model` to a hub id such as facebook/dinov2-base, or `weights` to "
                "a file or folder."
            )
        origin, tensors, guard = source, None, download(spec)
    else:
        origin, tensors, guard = None, read_weights(spec), fitting(spec)
    with guard:
        model, found = model_class.from_pretrained(
            origin, config=config, state_dict=tensors, output_loading_info=True, **arguments
        )
    # transformers fills missing weights with random numbers and drops blocks that are too many.
    problems = [f"{name} is missing" for name in sorted(found["missing_keys"])]
    problems += [
        f"{name} is one too many"
        for name in sorted(found["unexpected_keys"])
        if name.startswith(("layers.", "encoder.layer"))
    ]
    check_fit(spec, problems)
    return model


def _published_preprocessing(spec, source, default):
    """The settings of `preprocessor_config.json`; `default` where a local folder has none."""
    if Path(source).is_dir() and not (Path(source) / "preprocessor_config.json").is_file():
        return default
    with download(spec):
        processor = transformers.AutoImageProcessor.from_pretrained(source)
    size = dict(processor.size)
    resize = size.get("shortest_edge") or size["height"]
    crop = dict(processor.crop_size)["height"] if processor.do_center_crop else resize
    return Preprocessing(
        resize_mode="shortest" if size.get("shortest_edge") else "squash",
        resize=resize,
        crop=crop,
        interpolation=Image.Resampling(processor.resample).name.lower(),
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
    )


def _blocks(model):
    if hasattr(model, "layers"):
        return model.layers
    return model.encoder.layer if hasattr(model.encoder, "layer") else model.encoder.layers


def _prefix_tokens(embeddings):
    """Class, distillation and register tokens that the embeddings put before the patches."""
    single = ("cls_token", "class_embedding", "distillation_token")
    registers = getattr(embeddings, "register_tokens", None)  # [1, R, D]
    return sum(hasattr(embeddings, name) for name in single) + (
        0 if registers is None else registers.shape[1]
    )


def _runner(model, side):
    """The function that calls the model on images of `side` pixels."""
    arguments = {}
    # The DINOv2 models interpolate their position embeddings unasked.
    if side != model.config.image_size and not model.config.model_type.startswith("dinov2"):
        arguments["interpolate_pos_encoding"] = True
    if model.config.model_type != "vit_mae":
        return lambda images_b3hw: model(images_b3hw, **arguments)
    patches = (side // model.config.patch_size) ** 2

    def run_by_noise(images_b3hw, noise_bp=None):
        if noise_bp is None:
            order = torch.arange(patches, dtype=torch.float32, device=images_b3hw.device)
            noise_bp = order.expand(len(images_b3hw), -1)
        return model(images_b3hw, noise=noise_bp.to(images_b3hw.device), **arguments)

    return run_by_noise
