"""Whose activations a backbone's are: `implementation`, where it is not the loader's own library.

Equal weights give other activations in other libraries. What differs for a family of models stands
in the loaders' entries (`visae.backbones.loaders.Family`). Here it is looked up; what it does to a
built model is in `visae.backbones.implementing`.
"""

import math
import re

from visae.backbones.loaders import LOADERS
from visae.backbones.sizes import pair, scaled
from visae.base.errors import UserError

PREPARED = ("resize_mode", "resize", "interpolation", "resampling", "margin")
"""The keys of `preprocessing` by which libraries differ."""


def family_of(loader, model):
    """The name of the family that a model is of, by its name in a loader's library, or None."""
    for name, family in LOADERS[loader].families.items():
        if re.match(family.models, model):
            return name
    return None


def implementation(name, loader, model, chosen, preprocessing):
    """The `Family` by which a backbone is to be computed; None for its loader's own way.

    name, loader, model: of the backbone. chosen: the loader whose library's way is wanted.
    preprocessing: as in its config entry.

    Raises:
        UserError: of a model or a library of which nothing is known, and where it is open how the
            library prepares images.
    """
    if chosen in (None, loader):
        return None
    there = LOADERS[chosen].families
    family = family_of(loader, model)
    where = f"backbones.{name}.implementation is {chosen}"
    if family is None:
        known = ", ".join(LOADERS[loader].families) or "none"
        raise UserError(
            f"config: {where}, but '{model}' is of no family whose numbers are known in {loader} "
            f"({known}): take `implementation` out, or write `model` as {loader} names the "
            "published weights"
        )
    if family not in there:
        able = [other for other in LOADERS if family in LOADERS[other].families]
        raise UserError(
            f"config: {where}, which has no models of the family {family}, of which '{model}' is: "
            f"choose {' or '.join(able)}, or take `implementation` out"
        )
    if there[family].preparing is None and not set(PREPARED) <= set(preprocessing):
        raise UserError(
            f"config: {where}, which prepares images of the family {family} otherwise for each "
            f"model: give backbones.{name}.preprocessing {', '.join(PREPARED[:-1])} and "
            f"{PREPARED[-1]}, as {LOADERS[chosen].source} says"
        )
    return there[family]


def prepared(preparing, size):
    """`preprocessing`, as in a config entry, of images of `size` by a `Preparing`."""
    rounded = {"down": math.floor, "nearest": round}[preparing.rounded]
    return {
        "resize_mode": preparing.resize_mode,
        "resize": scaled(pair(size), lambda side: rounded(side / preparing.share)),
        "interpolation": preparing.interpolation,
        "resampling": preparing.resampling,
        "margin": preparing.margin,
    }


def in_words(chosen, family):
    """What is set of a model that is computed as the library of the loader `chosen` would."""
    said = [f"norms with eps {family.eps:g}"]
    if family.gelu:
        said.append(f"{family.gelu} GELU")
    if family.resampling:
        mode, antialiased = family.resampling
        said.append(f"positions {mode}{'' if antialiased else ', not antialiased'}")
    return f"computed as by {LOADERS[chosen].label}: {', '.join(said)}"
