"""Loaders: a shelf of the libraries that build backbones.

Each has an `ENTRY`, a `Loader`, and a function `load(spec)` from a `BackboneSpec` to a
`backbones.backbone.Backbone`. The function is in `load.py` beside `entry.py`, or in the entry's
only module. That module imports its library inside of the function, since each takes seconds.
"""

from dataclasses import dataclass, field

from visae.base.shelf import ASIDE, Shelf

LOADERS = Shelf("visae.backbones.loaders", "loader")


@dataclass(frozen=True)
class Preparing:
    """How a library prepares the images of a family of models.

    resize_mode, interpolation, resampling, margin: of `Preprocessing`. share: of the resized
    image's side, which is cut out. rounded: how pixels of the resized image are rounded, `down` or
    `nearest`.
    """

    resize_mode: str
    interpolation: str
    share: float = 1.0
    rounded: str = "nearest"
    resampling: str = "pillow"
    margin: str = "even"


@dataclass(frozen=True)
class Family:
    """How a library computes a family of models: what differs between libraries.

    models: a regular expression of the whole name that `model` in the config gives. eps: of layer
    norms. gelu: `exact`, `tanh` or `quick`; None where it belongs to the weights. resampling:
    (interpolation, antialiased) of the table of positions; None for models without one. preparing:
    None where checkpoints of the family differ.
    """

    models: str
    eps: float
    gelu: str | None = None
    resampling: tuple[str, bool] | None = None
    preparing: Preparing | None = None


@dataclass(frozen=True)
class Loader:
    """What there is to say of a loader.

    label: the library's name. description: what it builds, in one sentence. model: how `model` in
    the config names an architecture and its weights. source: where its models are listed.
    token_orders: the orders of patches that it can give. shuffling: the types of model whose
    forward pass draws an order itself, and which can have the order `forward`. blocks, patch:
    the keys in `options` under which the number of blocks and the patch's side stand, the outer
    first. families: how it computes models that other libraries have as well, by a name that all
    loaders give the family; the first whose `models` fit is a model's.
    """

    label: str = field(metadata=ASIDE)
    description: str = field(metadata=ASIDE)
    model: str = field(metadata=ASIDE)
    source: str = field(metadata=ASIDE)
    token_orders: tuple[str, ...] = field(default=("raster", "permuted"), metadata=ASIDE)
    shuffling: tuple[str, ...] = field(default=(), metadata=ASIDE)
    blocks: tuple[str, ...] = field(default=(), metadata=ASIDE)
    patch: tuple[str, ...] = field(default=(), metadata=ASIDE)
    families: dict[str, Family] = field(default_factory=dict)
