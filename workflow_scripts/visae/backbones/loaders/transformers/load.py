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
from visae.backbones.loaders.transformers.entry import ENTRY
from visae.backbones.preprocessing import Preprocessing
from visae.backbones.weights import (
    check_fit,
    construction,
    download,
    load_weights,
    plain_transformer,
    random_weights,
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
    if spec.token_order == "forward" and config.model_type not in ENTRY.shuffling:
        raise UserError(
            f"Backbone '{spec.name}' asks for the token order 'forward', but the forward pass of "
            f"'{spec.model}' leaves patches in raster order: choose raster or permuted, or a model "
            f"of type {' or '.join(ENTRY.shuffling)}."
        )
    class_name, preprocessing = MODEL_TYPES[config.model_type]
    model_class = getattr(transformers, class_name)
    # The pooling layers of these two are for classification; published files often lack them.
    arguments = {"add_pooling_layer": False} if class_name in ("ViTModel", "DeiTModel") else {}
    if spec.weights == "pretrained":
        model = _published(spec, model_class, config, source, arguments)
    else:
        with construction(spec), random_weights(spec.seed):
            model = model_class(config, **arguments)
    if source is not None:
        preprocessing = _published_preprocessing(spec, source, preprocessing)
    side = spec.image_size or config.image_size
    with plain_transformer(spec):
        backbone = Backbone(
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
            **_after_blocks(model),
        )
    if spec.weights not in ("pretrained", "random"):
        load_weights(backbone, lambda tensors: _translated(tensors, model_class, config, arguments))
    return backbone


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
        try:
            with download(spec):
                config = transformers.AutoConfig.from_pretrained(source)
        except ValueError as error:
            raise UserError(
                f"The config.json of '{source}' (backbone '{spec.name}') names no model type that "
                f"transformers {transformers.__version__} knows: choose a model of type "
                f"{', '.join(MODEL_TYPES)}."
            ) from error
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


def _published(spec, model_class, config, source, arguments):
    """The model with published weights, all of them found."""
    if source is None:
        raise UserError(
            f"Backbone '{spec.name}' asks for pretrained weights of '{spec.model}', which is a "
            "model type: set `model` to a hub id such as facebook/dinov2-base, or `weights` to "
            "a file or folder."
        )
    with download(spec):
        model, found = model_class.from_pretrained(
            source, config=config, output_loading_info=True, **arguments
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


def _translated(tensors, model_class, config, arguments):
    """Tensors by the model's names, from files of any version; unknown ones under their own."""
    with random_weights(0):  # what is missing is drawn, and then left out
        model, found = model_class.from_pretrained(
            None,
            config=config,
            state_dict=dict(tensors),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **arguments,
        )
    missing = set(found["missing_keys"])
    mismatched = {name: shape for name, shape, _ in found["mismatched_keys"]}
    own = {name: t for name, t in model.state_dict().items() if name not in missing}
    return (
        own
        | {name: torch.empty(shape, device="meta") for name, shape in mismatched.items()}
        | {name: tensors[name] for name in found["unexpected_keys"] if name in tensors}
    )


def _published_preprocessing(spec, source, default):
    """The settings of `preprocessor_config.json`; `default` where a local folder has none."""
    if Path(source).is_dir() and not (Path(source) / "preprocessor_config.json").is_file():
        return default
    processor = _processor(spec, source)
    size, crop_size = dict(processor.size or {}), dict(processor.crop_size or {})
    shortest = size.get("shortest_edge")
    sides = {shortest} if shortest else {size.get("height"), size.get("width")}
    cropped = {crop_size.get("height"), crop_size.get("width")}
    # ConvNeXt's way to say that images are resized to more than is cut out.
    share = getattr(processor, "crop_pct", None) or 1
    if not processor.do_resize:
        raise _other_preprocessing(spec, "do not resize images")
    if None in sides or len(sides) > 1 or (processor.do_center_crop and len(cropped) > 1):
        raise _other_preprocessing(spec, f"resize to {size} and crop to {crop_size}")
    if not processor.do_rescale or abs(processor.rescale_factor * 255 - 1) > 1e-6:
        raise _other_preprocessing(spec, "do not scale images from 0 to 1")
    side = sides.pop()
    resize = round(side / share)
    normalised = processor.do_normalize
    return Preprocessing(
        resize_mode="shortest" if shortest else "squash",
        resize=resize,
        crop=cropped.pop() if processor.do_center_crop else side,
        interpolation=Image.Resampling(processor.resample).name.lower(),
        mean=tuple(processor.image_mean) if normalised else (0.0, 0.0, 0.0),
        std=tuple(processor.image_std) if normalised else (1.0, 1.0, 1.0),
    )


def _processor(spec, source):
    """The image processor, also where its file names a type of older versions."""
    with download(spec):
        try:
            return transformers.AutoImageProcessor.from_pretrained(source)
        except ValueError as error:
            unknown = error
        settings, _ = transformers.ImageProcessingMixin.get_image_processor_dict(source)
    kind = settings.get("image_processor_type") or settings.get("feature_extractor_type") or ""
    # A model without a processor of its own was given an extractor that was ViT's.
    current = kind.replace("FeatureExtractor", "ImageProcessor").replace("ViTMAE", "ViT")
    if not hasattr(transformers, current):
        raise UserError(
            f"The preprocessor_config.json of '{source}' (backbone '{spec.name}') is of type "
            f"'{kind}', which transformers {transformers.__version__} does not know: give it the "
            "image_processor_type of a class that does the same, such as ViTImageProcessor."
        ) from unknown
    return getattr(transformers, current).from_dict(settings)


def _other_preprocessing(spec, what):
    return UserError(
        f"The settings in the preprocessor_config.json of backbone '{spec.name}' {what}, which is "
        "not supported: change that file to square sizes, resized and scaled to [0, 1]."
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


def _after_blocks(model):
    """What `Backbone` needs to know of a model beyond its blocks."""
    norms = [getattr(model, name, None) for name in ("layernorm", "post_layernorm", "norm")]
    tokens = [getattr(model.embeddings, name, None) for name in ("cls_token", "class_embedding")]
    return {
        "final_norm": next((norm for norm in norms if norm is not None), None),
        "class_token": any(token is not None for token in tokens),
    }


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
