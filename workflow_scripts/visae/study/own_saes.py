"""SAEs that people name themselves: what each is stands in its files, and not in the config.

A sweep's `saes` maps a name to the folder as a library wrote it. The Snakefile asks at every start,
so what the inspection of a sweep wrote down is taken while it is newer than the files; only
before that are they read, with torch.
"""

import os
from pathlib import Path

from visae.base.errors import UserError
from visae.base.paths import RAW
from visae.base.seals import read_document
from visae.sae.exchange import on_hub
from visae.sae.exchange.inspected import FORMAT
from visae.sae.families import FAMILIES
from visae.sae.specs import SaeSpec
from visae.study.config import written_out


def folder_of(said, backbone, backbones, where):
    """The folder of an SAE on `backbone`, of an entry of `saes`; UserError where it names none.

    said: a folder, or a mapping whose `folder` is one, or a folder for each of `backbones`.
    where: the config's key.
    """
    folder = said["folder"] if isinstance(said, dict) else said
    at = f"{where}.folder" if isinstance(said, dict) else where
    if isinstance(folder, dict):
        if set(folder) != set(backbones):
            raise UserError(
                f"config: {at} is for {', '.join(folder)}, but the sweep is on "
                f"{', '.join(backbones)}: name a folder for each of them, or make another sweep"
            )
        folder = folder[backbone]
    elif len(backbones) > 1:
        raise UserError(
            f"config: {where} is one folder, but the sweep is on {', '.join(backbones)}: name the "
            "one backbone that it was trained on in the sweep's backbones, or give `folder` "
            "for each of them"
        )
    folder = str(written_out(folder, at))
    if on_hub(folder):
        raise UserError(
            f"config: {at} is {folder}, a repository: fetch it and name the folder, or use "
            "`published`, which fetches the folders of a grid"
        )
    if not os.path.isdir(folder):
        raise UserError(
            f"config: {at} is {folder!r}, which is not a folder: name the one that the SAE's "
            "library wrote (see docs/published_saes.md)"
        )
    return folder


def files(folders):
    """Every file of SAEs' folders that may be weights or a config, by folder and name, once."""
    found = [
        path
        for folder in set(folders)
        for at in ("*", "checkpoints/*")
        for path in Path(folder).glob(at)
    ]
    return sorted(str(p) for p in found if p.is_file() and not p.name.startswith("."))


def spec(name, said, folder, layer, reading, inspected, where):
    """(SaeSpec, D) of the SAE in `folder`, by its files and, where these leave it open, by `said`.

    D: the width of the activations that it takes.

    said: of the config, with `family` and `k`. layer: the block that the study reads. reading: the
    sweep's section. inspected: where the sweep's inspection writes. where: the config's key.

    Raises UserError for files that are not understood or leave the family open, for what they and
    `said` contradict each other in, and for a name that is another SAE's.
    """
    said = said if isinstance(said, dict) else {}
    try:
        found = _found(name, folder, layer, reading, said.get("family"), inspected)
    except UserError as error:
        raise UserError(f"config: {where}: {error}") from None
    stated = said.get("family") or found["family"]
    if stated not in FAMILIES:
        says = f"of family '{stated}'" if stated else "of a family that its files do not say"
        raise UserError(
            f"the SAE in {folder} is {says}: write `family` beside its folder at {where} "
            f"(--family of visae evaluate-sae), one of {', '.join(FAMILIES)}"
        )
    counted = FAMILIES[stated].sparsity.counted
    if "k" in said and not counted:
        raise UserError(
            f"config: {where}.k is {said['k']}, but {FAMILIES[stated].label} SAEs have no number "
            "of active features: take it out"
        )
    k = said.get("k") or found["k"] if counted else None
    if k is None and found.get("k_open"):
        raise UserError(
            f"the files in {folder} do not say how many features are active: write `k` beside its "
            f"folder at {where} (--k of visae evaluate-sae)"
        )
    factor = found["features"] / found["width"]
    made = SaeSpec(stated, int(factor) if factor.is_integer() else factor, k, name)
    try:
        other = SaeSpec.from_text(name)
    except UserError:
        other = None
    if name == RAW or (other and other.text != made.configuration):
        raise UserError(
            f"config: {where} has the name of {'no SAE' if name == RAW else 'another SAE'}, since "
            f"it is {made.configuration}: choose another name"
        )
    return made, found["width"]


def _found(name, folder, layer, reading, family, inspected):
    """What is found of the SAE in `folder`, by the names of `foreign.Identified`."""
    if written := _written(inspected, files([folder])):
        sae = written.get(name, {})
        if sae.get("folder") == str(folder):
            return sae
    from visae.sae.exchange.foreign import identify

    return identify(folder, layer, reading, family)._asdict()


def _written(inspected, own):
    """SAE → what was found of it, unless a file of `own` is newer than that."""
    try:
        at = os.path.getmtime(inspected)
        if all(os.path.getmtime(path) < at for path in own):
            return read_document(inspected, FORMAT)["saes"]
    except (OSError, UserError):
        pass
    return {}
