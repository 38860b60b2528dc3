"""What a vision transformer of timm says of itself; open_clip builds some towers of them."""

import math

from timm.data.config import resolve_model_data_config
from torch import nn

from visae.backbones.preprocessing import Preprocessing
from visae.backbones.sizes import scaled
from visae.base.errors import UserError


def after_blocks(model):
    """What `Backbone` needs to know of a timm model beyond its blocks.

    Models that pool their patches have their norm after the pooling.
    """
    norms = [getattr(model, name, None) for name in ("norm", "fc_norm")]
    real = [norm for norm in norms if norm is not None and not isinstance(norm, nn.Identity)]
    return {
        "final_norm": real[0] if real else None,
        "class_token": getattr(model, "cls_token", None) is not None,
    }


def timm_preprocessing(spec, model, image_size, pretrained=None):
    """The `Preprocessing` of the pretrained configuration of a timm `model`.

    image_size: as in `BackboneSpec`; None for the model's own. pretrained: the configuration, where
    `model` does not have it. Raises UserError for a model that was trained with padded images.
    """
    settings = resolve_model_data_config(model, pretrained_cfg=pretrained)
    if settings["crop_mode"] not in ("center", "squash"):
        raise UserError(
            f"'{spec.model}' of backbone '{spec.name}' was trained with padded images (timm's crop "
            f"mode `{settings['crop_mode']}`), which is not supported: choose another model."
        )
    fixed = getattr(getattr(model, "patch_embed", None), "img_size", None)
    size = scaled(image_size or fixed or settings["input_size"][1:], int)
    return Preprocessing(
        resize_mode="squash" if settings["crop_mode"] == "squash" else "shortest",
        resize=scaled(size, lambda side: math.floor(side / settings["crop_pct"])),
        crop=size,
        interpolation=settings["interpolation"],
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )
