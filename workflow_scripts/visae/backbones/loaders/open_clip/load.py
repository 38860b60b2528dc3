"""Image towers of open_clip, by `architecture:tag`.

The tag is required even for random or local weights, because the preprocessing and the kind of
GELU belong to it: without it open_clip gives SigLIP CLIP's mean and standard deviation.
"""

import contextlib
import functools
import logging

import open_clip
import torch

from visae.backbones.backbone import Backbone
from visae.backbones.catalogue import instead
from visae.backbones.preprocessing import Preprocessing
from visae.backbones.sizes import scaled
from visae.backbones.timm_models import after_blocks
from visae.backbones.weights import (
    construction,
    download,
    first_line,
    load_weights,
    random_weights,
    start_layer_scales,
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
    _check_gelu(spec, architecture, tag, config, settings)
    arguments = {name: config[name] for name in ("vision_cfg", *spec.options)}
    # open_clip's own default is the CPU, also when only shapes are wanted (`backbones.geometry`).
    arguments["device"] = torch.get_default_device()

    def without_text(size):
        with construction(spec), random_weights(spec.seed), _no_warnings():
            return open_clip.create_model(
                architecture, **arguments | {"text_cfg": NO_TEXT, "force_image_size": size}
            )

    model = without_text(spec.image_size)
    if spec.weights == "pretrained":
        with download(spec), _whole_model(spec):
            model = open_clip.create_model(
                architecture, pretrained=tag, force_image_size=spec.image_size, **arguments
            )
    visual = model.visual
    trunk = getattr(visual, "trunk", None)  # of a tower from timm
    if spec.weights == "random":
        start_layer_scales(visual)
    size = scaled(spec.image_size or visual.image_size, int)
    backbone = Backbone(
        spec,
        visual,
        run=visual if trunk is None else trunk.forward_features,
        preprocessing=_preprocessing(spec, settings, size),
        stated_prefix=getattr(trunk, "num_prefix_tokens", None),
        **_after_blocks(visual, trunk),
    )
    if spec.weights not in ("pretrained", "random"):
        native = functools.cache(lambda: without_text(None))
        load_weights(backbone, functools.partial(_image_tower, model=model, native=native))
    return backbone


def _after_blocks(visual, trunk):
    """What `Backbone` needs to know of a tower beyond its blocks; `trunk`: timm's, or None."""
    if trunk is not None:
        return after_blocks(trunk)
    return {"final_norm": getattr(visual, "ln_post", None), "class_token": True}


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


def _image_tower(tensors, model, native):
    """The image tower's tensors of a file that holds it alone or a whole CLIP model.

    native: a function that builds the model at its own image size. Positions are resampled from
    there, as open_clip resamples those of a tag.
    """
    if any(name.startswith("visual.") for name in tensors):
        tensors = {n: t for n, t in tensors.items() if n.startswith("visual.")}
    else:
        tensors = {f"visual.{name}": tensor for name, tensor in tensors.items()}
    open_clip.model.resize_pos_embed(tensors, model)
    tensors = {name.removeprefix("visual."): tensor for name, tensor in tensors.items()}
    if hasattr(model.visual, "trunk"):
        tensors |= _resampled(tensors, model.visual, native)
    return tensors


def _resampled(tensors, tower, native):
    """The tensors that are those of the tower from timm at its own size, resampled for `tower`."""
    wanted = tower.state_dict()
    others = {n for n, t in tensors.items() if n in wanted and t.shape != wanted[n].shape}
    if not others:
        return {}
    own = native().visual
    shapes = {name: tensor.shape for name, tensor in own.state_dict().items()}
    fitting = {n: t for n, t in tensors.items() if n in shapes and t.shape == shapes[n]}
    own.load_state_dict(fitting, strict=False)
    own.set_input_size(tower.image_size)
    return {n: t for n, t in own.state_dict().items() if n in others & fitting.keys()}


def _check_name(spec):
    architecture, _, tag = spec.model.partition(":")
    known = [f"{name}:{known_tag}" for name, known_tag in open_clip.list_pretrained()]
    if spec.model not in known:
        raise UserError(
            f"open_clip has no model '{spec.model}' (to be written `architecture:tag`), which "
            f"backbone '{spec.name}' asks for: " + instead(spec.model, "open_clip")
        )
    return architecture, tag


def _check_gelu(spec, architecture, tag, config, settings):
    """Refuse a tag of the other GELU than its architecture's.

    Where a tag says nothing of a quick GELU that its architecture has without `-quickgelu` in its
    name (roberta-ViT-B-32), the architecture is right.
    """
    stated, needed = (bool(c.get("quick_gelu", False)) for c in (config, settings))
    # A tower from timm brings its own activation, whatever open_clip's setting says.
    if stated == needed or config["vision_cfg"].get("timm_model_name"):
        return
    name = f"{architecture}-quickgelu" if needed else architecture.removesuffix("-quickgelu")
    if name == architecture:  # without a twin: the one way that open_clip builds it
        return
    if (name, tag) in open_clip.list_pretrained():
        cure = f"choose '{name}:{tag}'"
    else:
        cure = f"set `options: {{quick_gelu: {str(needed).lower()}}}`"
    raise UserError(
        f"The weights '{spec.model}' of backbone '{spec.name}' were trained "
        f"{'with' if needed else 'without'} the quick GELU and the architecture is the other way "
        f"round: {cure}."
    )


@contextlib.contextmanager
def _whole_model(spec):
    """Turn whatever the text tower of a tag raises, which open_clip builds with the image tower."""
    try:
        yield
    except (OSError, RuntimeError):  # a download that failed
        raise
    except Exception as error:  # of any library that the text tower comes from
        raise UserError(
            f"open_clip cannot build '{spec.model}' of backbone '{spec.name}' together with its "
            f"text tower ({type(error).__name__}: {first_line(error)}): set `weights` to the file "
            "of its weights, of which the image tower alone is read."
        ) from error


@contextlib.contextmanager
def _no_warnings():
    """Silence open_clip's warning that weights are random, which they are on purpose or not yet."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
