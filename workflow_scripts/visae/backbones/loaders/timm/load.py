"""Vision transformers of timm, by `architecture.tag`."""

import inspect
import re
import sys

import timm

from visae.backbones.backbone import Backbone
from visae.backbones.catalogue import instead
from visae.backbones.timm_models import after_blocks, timm_preprocessing
from visae.backbones.weights import (
    construction,
    download,
    load_weights,
    random_weights,
    start_layer_scales,
)
from visae.base.errors import UserError


def load(spec):
    """Build the backbone; position embeddings are resampled to `spec.image_size`.

    Random weights have layer scales of 1, as those of transformers. timm's own 1e-5 (DINOv2,
    DINOv3, DeiT-III) let tokens go through all blocks unchanged.
    """
    _check_name(spec)
    model, size = _built(spec)
    if spec.weights == "pretrained":
        with download(spec):
            model = _create(spec, size, pretrained=True)
    if spec.weights == "random" and "init_values" not in spec.options:
        start_layer_scales(model)
    backbone = Backbone(
        spec,
        model,
        run=model.forward_features,
        preprocessing=timm_preprocessing(spec, model, spec.image_size),
        stated_prefix=getattr(model, "num_prefix_tokens", None),
        **after_blocks(model),
    )
    if spec.weights not in ("pretrained", "random"):
        load_weights(backbone, lambda tensors: translated(tensors, model))
    return backbone


def translated(tensors, model):
    """Tensors of a published file by the model's names, with resampled positions.

    By the model family's own translation, which some families lack.
    """
    names = set(model.state_dict())
    # DeiT-III's files name layer scales so, and its translation has to be asked to know it.
    tensors = {
        n if n in names else re.sub(r"\bgamma_([12])$", r"ls\1.gamma", n): t
        for n, t in tensors.items()
    }
    family = vars(sys.modules[type(model).__module__])
    kind = "classifier" if hasattr(model, "encoder") else "encoder"
    functions = ("checkpoint_filter_fn", f"checkpoint_filter_fn_{kind}")
    translate = next((family[name] for name in functions if name in family), None)
    if translate is None:
        return tensors
    takes_model = "model" in inspect.signature(translate).parameters
    return translate(tensors, model=model) if takes_model else translate(tensors)


def _built(spec):
    """The model with random weights, and the argument that sets its image size, where it has one.

    Without a network, so that wrong options are told apart from a failed download.
    """
    size = {} if spec.image_size is None else {"img_size": spec.image_size}
    try:
        with construction(spec):
            return _create(spec, size), size
    except UserError as error:
        # Models that take images of any size.
        if size and "img_size" not in spec.options and "'img_size'" in str(error):
            with construction(spec):
                return _create(spec, {}), {}
        raise


def _create(spec, size, **more):
    with random_weights(spec.seed):
        return timm.create_model(spec.model, num_classes=0, **spec.options, **size, **more)


def _check_name(spec):
    architecture, _, tag = spec.model.partition(".")
    known, name = timm.list_models(), architecture
    if timm.is_model(architecture) and tag:
        known, name = timm.list_pretrained(f"{architecture}.*"), spec.model
    if name not in known:
        raise UserError(
            f"timm has no model '{spec.model}', which backbone '{spec.name}' asks for: "
            + instead(spec.model, "timm")
        )
