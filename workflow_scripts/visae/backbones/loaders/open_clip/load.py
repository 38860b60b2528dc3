"""Image towers of open_clip, by `architecture:tag`.

The tag is required even for random or local weights, because the preprocessing and the kind of
GELU belong to it: without it open_clip gives SigLIP CLIP's mean and standard deviation.
"""

import contextlib
import difflib
import functools
import logging

import open_clip
import torch

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

# The text tower is never used: it is built as small as it can be.
NO_TEXT = {"context_length": 1, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1}


def load(spec):
    """Build the image tower; position embeddings are resampled to `spec.image_size`."""
    architecture, tag = _check_name(spec)
    config = open_clip.get_model_config(architecture) | spec.options
    config["vision_cfg"] = (
        open_clip.get_model_config(architecture)["vision_cfg"]
        | spec.options.get("vision_cfg", {})
        | ({} if spec.image_size is None else {"image_size": spec.image_size})
    )
    settings = open_clip.pretrained.get_pretrained_cfg(architecture, tag)
    _check_gelu(spec, config, settings)
    arguments = {name: config[name] for name in ("vision_cfg", *spec.options)}
    arguments["force_image_size"] = spec.image_size
    # open_clip's own default is the CPU, also when only shapes are wanted (`backbones.geometry`).
    arguments["device"] = torch.get_default_device()
    with construction(spec), random_weights(spec.seed), _no_warnings():
        model = open_clip.create_model(architecture, **arguments | {"text_cfg": NO_TEXT})
    if spec.weights == "pretrained":
        with download(spec):
            model = open_clip.create_model(architecture, pretrained=tag, **arguments)
    visual = model.visual
    with plain_transformer(spec):
        backbone = Backbone(
            spec,
            visual,
            **_blocks(spec, visual),
            preprocessing=_preprocessing(spec, settings, visual.image_size[0]),
        )
    if spec.weights not in ("pretrained", "random"):
        load_weights(backbone, functools.partial(_image_tower, model=model))
    return backbone


def _blocks(spec, visual):
    """What `Backbone` needs to know of open_clip's own transformer, or of a tower from timm."""
    if hasattr(visual, "trunk") and hasattr(visual.trunk, "num_prefix_tokens"):
        trunk = visual.trunk
        return {
            "blocks": trunk.blocks,
            "run": trunk.forward_features,
            "patch_size": trunk.patch_embed.patch_size[0],
            "prefix_tokens": trunk.num_prefix_tokens,
            **after_blocks(trunk),
        }
    if isinstance(visual, open_clip.transformer.VisionTransformer):
        return {
            "blocks": visual.transformer.resblocks,
            "run": visual,
            "patch_size": visual.patch_size[0],
            "prefix_tokens": 1,  # the class embedding
            "final_norm": visual.ln_post,
            "class_token": True,
        }
    raise UserError(
        f"The image tower of '{spec.model}' (backbone '{spec.name}') is no vision transformer with "
        "a list of blocks: choose a `ViT-*` model."
    )


def _preprocessing(spec, settings, image_size):
    """open_clip's evaluation transform for a pretrained tag."""
    if settings["resize_mode"] not in ("shortest", "squash"):
        raise UserError(
            f"'{spec.model}' of backbone '{spec.name}' was trained with padded images (open_clip's "
            f"resize mode `{settings['resize_mode']}`), which is not supported: choose another."
        )
    return Preprocessing(
        resize_mode=settings["resize_mode"],
        resize=image_size,
        crop=image_size,
        interpolation=settings["interpolation"],
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )


def _image_tower(tensors, model):
    """The image tower's tensors of a file that holds it alone or a whole CLIP model."""
    if any(name.startswith("visual.") for name in tensors):
        tensors = {n: t for n, t in tensors.items() if n.startswith("visual.")}
    else:
        tensors = {f"visual.{name}": tensor for name, tensor in tensors.items()}
    open_clip.model.resize_pos_embed(tensors, model)
    return {name.removeprefix("visual."): tensor for name, tensor in tensors.items()}


def _check_name(spec):
    architecture, _, tag = spec.model.partition(":")
    known = [f"{name}:{known_tag}" for name, known_tag in open_clip.list_pretrained()]
    if spec.model not in known:
        same = [name for name in known if name.startswith(f"{architecture}:")]
        close = difflib.get_close_matches(spec.model, same or known) or same or known[:3]
        raise UserError(
            f"open_clip has no model '{spec.model}' (to be written `architecture:tag`), which "
            f"backbone '{spec.name}' asks for: did you mean {' or '.join(close)}?"
        )
    return architecture, tag


def _check_gelu(spec, config, settings):
    stated, needed = (bool(c.get("quick_gelu", False)) for c in (config, settings))
    # A tower from timm brings its own activation, whatever open_clip's setting says.
    if stated != needed and not config["vision_cfg"].get("timm_model_name"):
        raise UserError(
            f"The weights '{spec.model}' of backbone '{spec.name}' were trained "
            f"{'with' if needed else 'without'} the quick GELU and the architecture is the other "
            f"way round: choose the architecture {'with' if needed else 'without'} `-quickgelu`."
        )


@contextlib.contextmanager
def _no_warnings():
    """Silence open_clip's warning that weights are random, which they are on purpose or not yet."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
