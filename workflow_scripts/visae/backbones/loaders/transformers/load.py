"""Vision transformers of Hugging Face transformers, by hub id or by model type.

`ViTMAEModel` shuffles the patches at random in every forward pass, also in evaluation mode and
with nothing masked. Here it is given an increasing "noise" to sort by, which leaves the patches
in raster order (`token_order: permuted` shuffles them on purpose, reproducibly). With `token_order:
forward` the noise is random as there, but drawn from the backbone's seed and the image's id.

The preprocessing is that of the image processor: what interpolates, and where an odd margin is
cut, is found by holding its output against ours on one image.
"""

import contextlib
import importlib
import inspect
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

from visae.backbones.backbone import Backbone
from visae.backbones.catalogue import instead, names
from visae.backbones.implementations import prepared
from visae.backbones.loaders.transformers.entry import ENTRY
from visae.backbones.preprocessing import (
    INTERPOLATIONS,
    MARGINS,
    RESAMPLINGS,
    Preprocessing,
)
from visae.backbones.sizes import pair, scaled
from visae.backbones.timm_models import after_blocks, timm_preprocessing
from visae.backbones.weights import (
    check_fit,
    construction,
    download,
    first_line,
    is_prefix_token,
    load_weights,
    random_weights,
)
from visae.base.errors import UserError

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}


def _settings(family, normalisation):
    """Of 224 pixels, as the entry says of a family; by Pillow, as up to transformers 4."""
    said = prepared(ENTRY.families[family].preparing, 224) | {"resampling": "pillow"}
    return Preprocessing(crop=224, **said, **normalisation)


# For weights without a preprocessor_config.json: the preprocessing of the published checkpoint
# that the paper names (or, for `vit`, of google/vit-base-patch16-224), where the defaults
# of the type's image processor are others.
PUBLISHED = {
    "clip_vision_model": _settings("clip", CLIP),
    "deit": _settings("deit", IMAGENET),
    "dinov2": _settings("dinov2", IMAGENET),
    "dinov2_with_registers": _settings("dinov2_with_registers", IMAGENET),
    "siglip_vision_model": _settings("siglip", HALF),
    "vit": Preprocessing("squash", 224, 224, "bilinear", **HALF, margin="down"),
    "vit_mae": _settings("mae", IMAGENET),
}

LARGEST_DIFFERENCE = 1e-4
"""Between normalised pixels of two preprocessings that are one. A level is about 0.015."""


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
    model_class = _model_class(spec, config)
    # Pooling layers are for classification; published files often lack them.
    pooled = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    pooling = {"add_pooling_layer": False} if pooled else {}
    # Without `dtype` weights are rounded to what config.json names, whatever the file holds.
    arguments = pooling | {"dtype": torch.float32}
    if spec.weights == "pretrained":
        model = _published(spec, model_class, config, source, arguments)
    else:
        with construction(spec), random_weights(spec.seed):
            model = model_class(config, **pooling)
    if hasattr(model, "timm_model"):
        # transformers builds the architecture, and keeps the checkpoint's settings to itself.
        own = getattr(config, "pretrained_cfg", None)
        settings = timm_preprocessing(spec, model.timm_model, None, own)
    else:
        settings = _default_preprocessing(spec, config)
    if source is not None:
        settings = _published_preprocessing(spec, source, settings, model)
    size = scaled(spec.image_size or _native_size(config) or settings.crop, int)
    if hasattr(model, "timm_model") and size != settings.crop:
        with construction(spec):
            model.timm_model.set_input_size(size)
    resize, crop = pair(settings.resize), pair(settings.crop)
    shares = [side / cut for side, cut in zip(resize, crop, strict=True)]
    resized = tuple(round(n * share) for n, share in zip(pair(size), shares, strict=True))
    backbone = Backbone(
        spec,
        model,
        run=_runner(model, pair(size)),
        preprocessing=replace(settings, resize=scaled(resized, int), crop=size),
        **_after_blocks(model),
    )
    if spec.weights not in ("pretrained", "random"):
        load_weights(backbone, lambda tensors: _translated(tensors, model_class, config, arguments))
    return backbone


def _source(spec):
    """The folder or hub id that holds the model's configuration; None for a bare model type."""
    if (Path(spec.weights) / "config.json").is_file():
        return spec.weights
    if spec.model in CONFIG_MAPPING:
        return None
    if "/" in spec.model:
        return spec.model
    raise UserError(
        f"'{spec.model}', which backbone '{spec.name}' asks for, is neither a hub id (with a `/`) "
        "nor a model type of transformers: " + instead(spec.model, "transformers")
    )


def _config(spec, source):
    """The model's configuration, changed by `spec.options`; of two towers that of the image's."""
    if source is None:
        with construction(spec):
            config = transformers.AutoConfig.for_model(spec.model)
    else:
        try:
            with download(spec):
                config = transformers.AutoConfig.from_pretrained(source)
        except UserError:
            raise
        except Exception as error:  # of any configuration class, on any content of the file
            raise UserError(
                f"The config.json of '{source}' (backbone '{spec.name}') names no model type that "
                f"transformers {transformers.__version__} knows, or not all that it needs "
                f"({first_line(error)}): choose another model, or fetch the file again."
            ) from error
    config = getattr(config, "vision_config", None) or config
    unknown = [name for name in spec.options if not hasattr(config, name)]
    if unknown:
        raise UserError(
            f"The option '{unknown[0]}' of backbone '{spec.name}' does not exist for the model "
            f"type '{config.model_type}': see {type(config).__name__} of transformers."
        )
    places = spec.options.get("num_patches")
    if isinstance(places, int) and (places < 1 or math.isqrt(places) ** 2 != places):
        raise UserError(
            f"The option 'num_patches' of backbone '{spec.name}' is {places}, which is no square: "
            "it counts the positions of a square grid, such as 256 of 16 × 16."
        )
    options = dict(spec.options)
    if hasattr(config, "mask_ratio"):
        options["mask_ratio"] = 0.0
    # Where height and width differ, positions are interpolated from the type's own square.
    if source is None and isinstance(spec.image_size, int) and _native_size(config):
        options = {"image_size": spec.image_size} | options
    with construction(spec):
        if source is None:
            return type(config)(**options)
        config.update(options)
        return config


def _native_size(config):
    """The image size of a configuration, one number or (height, width); None if it says none."""
    size = getattr(config, "image_size", None)
    if size is None and hasattr(config, "num_patches") and isinstance(config.patch_size, int):
        return math.isqrt(config.num_patches) * config.patch_size
    return tuple(size) if isinstance(size, (list, tuple)) else size


def _model_class(spec, config):
    """The class of the bare model, without a head.

    Of some image towers transformers lists none: then the one in their own module.
    """
    if type(config) in transformers.MODEL_MAPPING:
        found = transformers.MODEL_MAPPING[type(config)]
        return found[0] if isinstance(found, tuple) else found
    module = type(config).__module__.replace(".configuration_", ".modeling_")
    for name, found in vars(importlib.import_module(module)).items():
        if name.endswith("VisionModel") and getattr(found, "config_class", None) is type(config):
            return found
    raise UserError(
        f"transformers has no model without a head for the type '{config.model_type}', which "
        f"backbone '{spec.name}' asks for: choose one of {', '.join(names('transformers'))}."
    )


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
    modules = model.named_modules()
    lists = tuple(f"{name}." for name, m in modules if isinstance(m, torch.nn.ModuleList))
    wanted = model.state_dict()
    problems += [
        f"{name} is one too many"
        for name in sorted(found["unexpected_keys"])
        if name.startswith(lists) or is_prefix_token(name, wanted)
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


def _published_preprocessing(spec, source, default, model):
    """The settings of `preprocessor_config.json`; `default` where a local folder has none."""
    if Path(source).is_dir() and not (Path(source) / "preprocessor_config.json").is_file():
        return default
    processor = _processor(spec, source)
    if not hasattr(processor, "size"):  # timm's transforms, whose settings are the model's
        return _as_the_processor(spec, processor, default)
    settings = _settings_of(spec, processor)
    _check_any_size(spec, processor, model)
    return settings


def _check_any_size(spec, processor, model):
    """Refuse a NaFlex processor of a model that is none, the reverse, and patches of two sizes."""
    of_model = "spatial_shapes" in inspect.signature(model.forward).parameters
    if of_model != hasattr(processor, "max_num_patches"):
        has, lacks = ("model", "processor") if of_model else ("processor", "model")
        what = f"are half of those for images of any size: the {has} is for them, the {lacks} not"
        raise _other_preprocessing(spec, what)
    patches = getattr(processor, "patch_size", None), model.config.patch_size
    if of_model and patches[0] not in (None, patches[1]):
        what = f"cut patches of {patches[0]} pixels, and those of the model have {patches[1]}"
        raise _other_preprocessing(spec, what)


def _default_preprocessing(spec, config):
    """Of weights that come without a preprocessor_config.json."""
    kind = config.model_type
    if kind in PUBLISHED:
        return PUBLISHED[kind]
    for name in (kind, kind.removesuffix("_vision_model"), kind.removesuffix("_vision")):
        if name in IMAGE_PROCESSOR_MAPPING_NAMES:
            processor = getattr(transformers, IMAGE_PROCESSOR_MAPPING_NAMES[name]["torchvision"])
            with contextlib.suppress(UserError):
                return _settings_of(spec, processor())
    return PUBLISHED["vit"]


def _settings_of(spec, processor):
    """An image processor as `Preprocessing`."""
    size, crop_size = dict(processor.size or {}), dict(processor.crop_size or {})
    # ConvNeXt's way to say that images are resized to more than is cut out.
    share = getattr(processor, "crop_pct", None) or 1
    limits = {name: getattr(processor, name, None) for name in ("patch_size", "max_num_patches")}
    if not size and any(limits.values()):
        for name, value in limits.items():
            if not isinstance(value, int) or value < 1:
                wrong = f"is {value!r}" if value else "is missing"
                raise _other_preprocessing(
                    spec, f"are half of those for images of any size: {name} {wrong}"
                )
        # Images of any size, as few patches as `max_num_patches`; here all are one square.
        side = math.isqrt(limits["max_num_patches"]) * limits["patch_size"]
        size = {"height": side, "width": side}
    if not processor.do_resize:
        raise _other_preprocessing(spec, "do not resize images")
    resize = _sides(size)
    crop = _sides(crop_size) if processor.do_center_crop else resize
    if resize is None or crop is None:
        raise _other_preprocessing(spec, f"resize to {size} and crop to {crop_size}")
    if not processor.do_rescale or abs(processor.rescale_factor * 255 - 1) > 1e-6:
        raise _other_preprocessing(spec, "do not scale images from 0 to 1")
    interpolation = Image.Resampling(processor.resample).name.lower()
    if interpolation not in INTERPOLATIONS:
        raise _other_preprocessing(spec, f"interpolate by {interpolation}")
    normalised = processor.do_normalize
    settings = Preprocessing(
        resize_mode="shortest" if size.get("shortest_edge") else "squash",
        resize=scaled(resize, lambda side: round(side / share)),
        crop=crop,
        interpolation=interpolation,
        mean=tuple(np.broadcast_to(processor.image_mean if normalised else 0.0, 3).tolist()),
        std=tuple(np.broadcast_to(processor.image_std if normalised else 1.0, 3).tolist()),
    )
    return _as_the_processor(spec, processor, settings)


def _as_the_processor(spec, processor, settings):
    """`settings` with the resampling and the margin that give what the processor gives.

    Seen on one image of noise. It is made smaller, as resamplings of larger images may agree, and
    the two margins differ for it where they can.
    """
    height = 3 * max(pair(settings.resize)) // 2 + 1
    widths = range(height, 2 * height)
    left_out = {width: settings.resized(width, height)[0] - settings.shape[1] for width in widths}
    width = next((width for width in widths if left_out[width] % 4 == 3), height + 40)
    if getattr(processor, "max_num_patches", None):
        width = height  # whose grid is a square
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    try:
        with torch.device("cpu"):  # also where a model is built on the meta device
            answered = processor(image, return_tensors="pt")
            theirs = np.asarray(answered["pixel_values"][0])
            if "pixel_attention_mask" in answered:  # behind the patches there is padding
                theirs = theirs[np.asarray(answered["pixel_attention_mask"][0]) == 1]
        # transformers rounds down.
        for resampling, margin in itertools.product(RESAMPLINGS, reversed(MARGINS)):
            found = replace(settings, resampling=resampling, margin=margin)
            ours = found.normalised(image)
            if theirs.ndim == 2:
                ours = _in_patches(torch.from_numpy(ours)[None], processor.patch_size)[0].numpy()
            if ours.shape == theirs.shape and np.abs(ours - theirs).max() < LARGEST_DIFFERENCE:
                return found
    except Exception as error:  # a processor of any kind can come here, so that any error can
        raise _other_preprocessing(spec, f"fail ({first_line(error)})") from error
    raise _other_preprocessing(spec, "do more than to resize, crop and normalise images")


def _sides(size):
    """A processor's size, one number for a square or (height, width); None for what is neither."""
    sides = size.get("height"), size.get("width")
    if size.get("shortest_edge") and not size.get("longest_edge"):
        return size["shortest_edge"]
    return scaled(sides, int) if all(sides) else None


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
        "not supported: change that file to one size, resized and scaled to [0, 1], and to an "
        "image_processor_type that does no more, such as ViTImageProcessor."
    )


def _after_blocks(model):
    """What `Backbone` needs to know of a model beyond its blocks."""
    if hasattr(model, "timm_model"):
        return after_blocks(model.timm_model)
    norms = ("layernorm", "post_layernorm", "norm", "rms_norm")
    embeddings = getattr(model, "embeddings", None)
    tokens = [getattr(embeddings, name, None) for name in ("cls_token", "class_embedding")]
    found = [norm for name in norms if (norm := getattr(model, name, None)) is not None]
    return {
        "final_norm": found[0] if found else None,
        "class_token": any(token is not None for token in tokens),
    }


def _runner(model, size):
    """The function that calls the model on images of `size` (height, width)."""
    takes = inspect.signature(model.forward).parameters
    arguments = {}
    native = _native_size(model.config)
    if "interpolate_pos_encoding" in takes and native and size != pair(native):
        arguments["interpolate_pos_encoding"] = True
    if "spatial_shapes" in takes:
        return _run_on_patches(model, size)
    if "noise" not in takes:
        return lambda images_b3hw: model(images_b3hw, **arguments)
    patch = pair(model.config.patch_size)
    patches = math.prod(side // n for side, n in zip(size, patch, strict=True))

    def run_by_noise(images_b3hw, noise_bp=None):
        if noise_bp is None:
            order = torch.arange(patches, dtype=torch.float32, device=images_b3hw.device)
            noise_bp = order.expand(len(images_b3hw), -1)
        return model(images_b3hw, noise=noise_bp.to(images_b3hw.device), **arguments)

    return run_by_noise


def _run_on_patches(model, size):
    """The function that calls a model that takes patches (NaFlex), all of them filled.

    What pads sequences of several lengths, and the mask that leaves it out, is not needed: all
    images have the same patches.
    """
    patch = model.config.patch_size
    rows, columns = (side // patch for side in size)

    def run(images_b3hw):
        batch = len(images_b3hw)
        patches = _in_patches(images_b3hw[..., : rows * patch, : columns * patch], patch)
        # Read as numbers by the model, so not on the meta device.
        shapes = torch.tensor([[rows, columns]] * batch, device="cpu")
        return model(patches, pixel_attention_mask=None, spatial_shapes=shapes)

    return run


def _in_patches(images_b3hw, patch):
    """Images as their patches, row by row: [B, P, patch² · 3]."""
    batch, _, height, width = images_b3hw.shape
    cells = images_b3hw.reshape(batch, 3, height // patch, patch, width // patch, patch)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, 3 * patch**2)
