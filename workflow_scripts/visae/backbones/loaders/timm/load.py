"""Vision transformers of timm, by `architecture.tag`."""

import difflib
import functools
import math
import sys

import timm

from visae.backbones.backbone import Backbone
from visae.backbones.preprocessing import Preprocessing
from visae.backbones.timm_models import after_blocks
from visae.backbones.weights import (
    construction,
    download,
    load_weights,
    plain_transformer,
    random_weights,
)
from visae.base.errors import UserError


def load(spec):
    """Build the backbone; position embeddings are resampled to `spec.image_size`."""
    _check_name(spec)
    arguments = dict(spec.options)
    if spec.image_size is not None:
        arguments["img_size"] = spec.image_size
    try:
        with construction(spec), random_weights(spec.seed):
            # Without a network, so that wrong options are told apart from a failed download.
            model = timm.create_model(spec.model, num_classes=0, **arguments)
    except UserError as error:
        # Convolutional networks take images of any size.
        if "img_size" not in spec.options and "argument 'img_size'" in str(error):
            raise _no_transformer(spec) from error
        raise
    if not (hasattr(model, "blocks") and hasattr(model, "num_prefix_tokens")):
        raise _no_transformer(spec)
    if spec.weights == "pretrained":
        with download(spec):
            model = timm.create_model(spec.model, num_classes=0, pretrained=True, **arguments)
    with plain_transformer(spec):
        backbone = Backbone(
            spec,
            model,
            blocks=model.blocks,
            run=model.forward_features,
            patch_size=model.patch_embed.patch_size[0],
            prefix_tokens=model.num_prefix_tokens,
            preprocessing=_preprocessing(spec, model),
            **after_blocks(model),
        )
    if spec.weights not in ("pretrained", "random"):
        # The model family's own translation of published files: names, resampled positions.
        family = sys.modules[type(model).__module__]
        load_weights(backbone, functools.partial(family.checkpoint_filter_fn, model=model))
    return backbone


def _no_transformer(spec):
    return UserError(
        f"'{spec.model}' of backbone '{spec.name}' is no vision transformer with a list of "
        "blocks: choose one of timm's `vit_*`, `deit_*`, `deit3_*`, `beit*` or `eva*` models."
    )


def _preprocessing(spec, model):
    """timm's evaluation transform for the pretrained configuration, at the model's image size."""
    settings = timm.data.resolve_model_data_config(model)
    if settings["crop_mode"] not in ("center", "squash"):
        raise UserError(
            f"'{spec.model}' of backbone '{spec.name}' was trained with padded images (timm's crop "
            f"mode `{settings['crop_mode']}`), which is not supported: choose another model."
        )
    image_size = model.patch_embed.img_size[0]
    return Preprocessing(
        resize_mode="squash" if settings["crop_mode"] == "squash" else "shortest",
        resize=math.floor(image_size / settings["crop_pct"]),
        crop=image_size,
        interpolation=settings["interpolation"],
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )


def _check_name(spec):
    architecture, _, tag = spec.model.partition(".")
    known, name = timm.list_models(), architecture
    if timm.is_model(architecture) and tag:
        known, name = timm.list_pretrained(f"{architecture}.*"), spec.model
    if name not in known:
        close = difflib.get_close_matches(name, known) or sorted(known)[:3]
        raise UserError(
            f"timm has no model '{spec.model}', which backbone '{spec.name}' asks for: did you "
            f"mean {' or '.join(close)}?"
        )
