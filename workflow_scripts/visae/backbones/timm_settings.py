"""How timm's evaluation transform prepares images for one of its models."""

import math

from timm.data.config import resolve_model_data_config

from visae.backbones.preprocessing import Preprocessing
from visae.backbones.sizes import scaled
from visae.base.errors import UserError


def timm_preprocessing(spec, model, image_size):
    """The `Preprocessing` of the pretrained configuration of a timm `model`.

    image_size: as in `BackboneSpec`; None for the model's own. Raises UserError for a model that
    was trained with padded images.
    """
    settings = resolve_model_data_config(model)
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
