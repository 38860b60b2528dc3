"""Loaders: a shelf of the libraries that build backbones.

Each has an `ENTRY`, a `Loader`, and a function `load(spec)` from a `BackboneSpec` to a
`backbones.backbone.Backbone`. The function is in `load.py` beside `entry.py`, or in the entry's
only module. That module imports its library inside of the function, since each takes seconds.
"""

from dataclasses import dataclass, field

from visae.base.shelf import ASIDE, Shelf

LOADERS = Shelf("visae.backbones.loaders", "loader")


@dataclass(frozen=True)
class Loader:
    """What there is to say of a loader.

    label: the library's name. description: what it builds, in one sentence. model: how `model` in
    the config names an architecture and its weights. source: where its models are listed.
    token_orders: the orders of patches that it can give. shuffling: the types of model whose
    forward pass draws an order itself, and which can have the order `forward`. blocks: the keys in
    `options` under which the number of blocks stands, the outer first.
    """

    label: str = field(metadata=ASIDE)
    description: str = field(metadata=ASIDE)
    model: str = field(metadata=ASIDE)
    source: str = field(metadata=ASIDE)
    token_orders: tuple[str, ...] = field(default=("raster", "permuted"), metadata=ASIDE)
    shuffling: tuple[str, ...] = field(default=(), metadata=ASIDE)
    blocks: tuple[str, ...] = field(default=(), metadata=ASIDE)
