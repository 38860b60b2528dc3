"""A study's config with one more sweep: an SAE that was trained elsewhere."""

import os
from pathlib import Path

import yaml

from visae.base.errors import UserError
from visae.base.files import write_text
from visae.sae.families import FAMILIES
from visae.sae.specs import SaeSpec
from visae.study.config_files import read_config
from visae.study.study import Study

STANDS_IN = {"gated": "relu"}
"""A family that no sweep has → the one in whose sweep such SAEs stand (docs/published_saes.md)."""


def with_sae(folder, config, backbone, layer=None, inputs=None, family=None, k=None):
    """Write the config of the study with the SAE in `folder` as a sweep of its own.

    config: path of the study's config; the new one lies beside it. layer: block; None for the
    backbone's. inputs: `reading.input`. family, k: of the SAE, where its files do not say.

    Returns:
        (path of the new config, the target that scores the SAE: the study's table of scores)

    Raises:
        UserError: no such backbone, a folder that is not understood, or an SAE of a name that
            the study has.
    """
    from visae.sae.exchange.foreign import identify

    folder = folder if folder.is_dir() else folder.parent  # of the file that was named
    given = read_config(config)
    study = Study(given)
    if backbone not in study.backbones:
        raise UserError(
            f"{config} has no backbone '{backbone}': name one of {', '.join(study.backbones)}"
        )
    layer = study.backbones[backbone]["layer"] if layer is None else layer
    spec = _spec(identify(folder, layer, inputs), folder, family, k)
    if any((sae.backbone, sae.layer, sae.spec) == (backbone, layer, spec) for sae in study.saes()):
        raise UserError(
            f"{config} has an SAE {spec.name} on {backbone} at block {layer} already, and two of "
            "one name cannot stand in one study: give a config whose grids do not have it"
        )
    name = _free_name(folder.resolve().name, given["sweeps"])
    collected = Path(study.paths.results) / "own" / name
    _link(folder, collected / spec.name)
    sparsity = FAMILIES[spec.family].sparsity.key
    sweep = {
        "family": spec.family,
        "layer": layer,
        "published": {backbone: str(collected)},
        "grid": {"expansion_factor": [spec.expansion_factor], sparsity: [spec.sparsity]},
        **({"reading": {"input": inputs}} if inputs else {}),
    }
    text = yaml.safe_dump(given | {"sweeps": given["sweeps"] | {name: sweep}}, sort_keys=False)
    path = config.with_name(f"{config.stem}_with_{name}{config.suffix}")
    write_text(path, text)
    return path, study.paths.table("scores", "csv")


def _spec(found, folder, family, k):
    """The SaeSpec of what `identify` found; UserError where the files leave it open."""
    family = family or STANDS_IN.get(found.family, found.family)
    if family is None or family not in FAMILIES:
        says = f"is of family '{family}'" if family else "does not say of which family it is"
        raise UserError(f"the SAE in {folder} {says}: give --family, one of {', '.join(FAMILIES)}")
    if found.features % found.width:
        raise UserError(
            f"the SAE in {folder} has {found.features} features on {found.width} dimensions, but "
            "only whole expansion factors can be evaluated: choose another SAE"
        )
    k = k or found.k
    if k is None:
        key = FAMILIES[family].sparsity.key
        raise UserError(
            f"the files in {folder} do not say how many features are active: give --k, which the "
            f"SAE is named by ({key})"
        )
    return SaeSpec(family, found.features // found.width, k)


def _free_name(name, taken):
    """A name that a sweep may have, made of a folder's."""
    kept = "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_")
    kept = kept if kept[:1].isalpha() else f"sae_{kept}".rstrip("_")
    number, free = 2, kept
    while free in taken:
        free, number = f"{kept}_{number}", number + 1
    return free


def _link(folder, place):
    """A link at `place` to the SAE's folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    os.symlink(folder.resolve(), place)
