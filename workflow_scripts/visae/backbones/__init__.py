"""Backbones: pretrained vision transformers of three libraries behind one interface.

A backbone is an entry in `config.yaml`. Its loader (`visae.backbones.loaders`) answers with a
`Backbone`, whose `patch_tokens` gives the output of any transformer block.
"""

from dataclasses import dataclass, field, replace

from visae.backbones import implementations
from visae.backbones.loaders import LOADERS
from visae.backbones.sizes import scaled
from visae.backbones.storage import DEFAULT, STORAGES
from visae.base.errors import UserError

TOKEN_ORDERS = ("raster", "permuted", "forward")


@dataclass(frozen=True)
class BackboneSpec:
    """One backbone entry of the config.

    name: the study's name for it, e.g. `dinov2`.
    loader: the library that builds it, an entry of `visae.backbones.loaders`.
    model: the library's name of architecture and weights, as the loader's entry says.
    weights: `pretrained` (the library's own download or its cache), `random`, or the path of a
        local file or folder.
    image_size: of the input in pixels, the side of a square or (height, width); None for the size
        of the pretrained weights.
    seed: of random weights and of permuted token orders.
    token_order: `raster`; `permuted` for the control arm whose patches are shuffled per image; or
        `forward` for the order that the model's own forward pass draws (ViTMAEModel).
    preprocessing: `resize_mode`, `resize`, `interpolation`, `resampling`, `margin` of
        `Preprocessing`, where they are not to be the library's own.
    options: further keyword arguments of the library's constructor (timm), its model config
        (open_clip: `vision_cfg`, `embed_dim`, …) or its config class (transformers).
    storage: what floats its activations are cached in, see `visae.backbones.storage`.
    weights_part: which of several networks in a local file, by the beginning of its tensors' names;
        None to find the only one that fits.
    implementation: the loader by whose library's rules the activations are computed, see
        `visae.backbones.implementations`; None for its own.
    """

    name: str
    loader: str
    model: str
    weights: str = "pretrained"
    image_size: int | tuple[int, int] | None = 224
    seed: int = 0
    token_order: str = "raster"
    preprocessing: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    storage: str = DEFAULT
    weights_part: str | None = None
    implementation: str | None = None

    def __post_init__(self):
        if self.image_size is not None:  # as JSON and YAML give it; a square is one number
            object.__setattr__(self, "image_size", scaled(self.image_size, int))


def build_backbone(spec):
    """Build the `Backbone` that `spec` describes, on the CPU in evaluation mode.

    Raises:
        UserError: an unknown loader, model, option or token order; an implementation that does not
            have the model; weights that are missing, damaged, unsafe to load, of another
            architecture, or cannot be downloaded.
    """
    if spec.loader not in LOADERS:
        raise UserError(
            f"Backbone '{spec.name}' asks for the loader '{spec.loader}', which does not exist: "
            f"choose one of {', '.join(LOADERS)}."
        )
    if spec.token_order not in TOKEN_ORDERS:
        raise UserError(
            f"Backbone '{spec.name}' asks for the token order '{spec.token_order}', which does not "
            f"exist: choose one of {', '.join(TOKEN_ORDERS)}."
        )
    if spec.storage not in STORAGES:
        raise UserError(
            f"Backbone '{spec.name}' asks for the storage '{spec.storage}', which does not exist: "
            f"choose one of {', '.join(STORAGES)}."
        )
    backbone = _built(spec)
    backbone.transform = replace(backbone.transform, **spec.preprocessing)
    if backbone.transform.cuts_more_than_it_has():
        raise UserError(
            f"Backbone '{spec.name}' is to see images resized to {backbone.transform.resize} "
            f"pixels and cropped to {backbone.transform.crop}, which is more: raise "
            "preprocessing.resize."
        )
    return backbone


def _built(spec):
    """The backbone by its loader, computed as `spec.implementation` says."""
    load = LOADERS.module(spec.loader, "load").load
    family = implementations.implementation(
        spec.name, spec.loader, spec.model, spec.implementation, spec.preprocessing
    )
    if family is None:
        return load(spec)
    from visae.backbones.implementing import implement, resampling

    with resampling(family):
        backbone = load(spec)
    implement(backbone, family)
    if family.preparing is not None:
        prepared = implementations.prepared(family.preparing, backbone.transform.crop)
        backbone.transform = replace(backbone.transform, **prepared)
    said = implementations.in_words(spec.implementation, family)
    backbone.weights_reading = "; ".join(filter(None, [backbone.weights_reading, said]))
    return backbone
