"""SAEs that were trained elsewhere, read from folders as their libraries wrote them.

A folder is recognised by its config and its tensors' names (see `libraries/`, one module each);
its rule is folded into the SAE of this workflow (see `fold`), so that codes and reconstructions
are those that the library itself computes. What no file says is settled by the sweep's section
`reading`, and what is not understood is refused: a tensor that is left out makes another SAE.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from visae.base import fingerprints
from visae.base.errors import UserError
from visae.sae.exchange.fold import fold
from visae.sae.exchange.folder import STATISTICS, Folder, numbers, read_named
from visae.sae.exchange.form import INPUTS, Reading
from visae.sae.exchange.libraries import LIBRARIES
from visae.sae.families import FAMILIES
from visae.sae.model import SparseAutoencoder
from visae.sae.specs import SaeSpec

BLOCK_OUTPUTS = ("resid_post", "hook_resid_post", "resid")
"""What libraries call a block's output, which is what this workflow extracts."""

BLOCK_INPUTS = ("resid_pre", "hook_resid_pre")
"""The same for its input: the output of the block before."""


STAND_IN = {"gated": ("relu", "jumprelu"), "matryoshka": ("batchtopk",)}
"""Family → others in whose sweep its SAEs may stand, since they compute codes by the same rule."""


class ReadSae(NamedTuple):
    """An SAE as read from a folder of someone else's."""

    model: SparseAutoencoder
    """On the CPU; its threshold is 0 where it has to be measured."""
    budget: int | None
    """K with which the threshold has to be measured, or None where it stands."""
    source: dict
    """Where it came from and what was settled how, for `config.yaml`."""


def read_foreign(folder, reading, statistics=None, layer=None):
    """Read the SAE in `folder`: a ReadSae.

    reading: the `Reading` of the sweep. statistics: (mean [D], std []) of the training cache, for
    SAEs whose input is normalised so. layer: the block that the study reads; None: not compared.

    Raises UserError when files are missing, damaged, unsafe or of no known library, when tensors
    are missing, unknown, not finite or of a wrong shape, when the folder states another SAE than
    the sweep's grid or other activations than the study's, and when something is left open.
    """
    folder = Path(folder)
    if not folder.is_dir():
        held = sorted(path.name for path in folder.parent.glob("*/"))
        raise UserError(
            f"{folder} is missing ({folder.parent} holds {', '.join(held[:8]) or 'no folders'}): "
            f"put the files of {reading.spec.name} there, or take it out of the sweep"
        )
    library, opened, sae = _read(folder, reading)
    notes = [*sae.notes, *_site_notes(sae.site, layer, reading, folder)]
    _check_spec(sae, reading.spec, folder)
    threshold, budget = _settle_threshold(sae, reading, folder)
    settled = _settle_input(sae, reading, statistics, folder)
    model = fold(sae, folder)
    if model.features != reading.spec.features(model.width):
        raise UserError(
            f"the encoder in {folder} is [{model.features}, {model.width}], but the SAE is to have "
            f"{reading.spec.features(model.width)} for its features (by its expansion "
            "factor): weights and sweep are of different SAEs"
        )
    source = {
        "folder": str(folder),
        "weights": str(opened.weights.relative_to(folder)),
        "fingerprint": fingerprints.of_file(opened.weights),
        "library": library,
        "family": sae.family,
        "k": sae.k,
        "input": settled,
        "threshold": threshold,
        "site": {name: value for name, value in vars(sae.site).items() if value is not None},
    }
    return ReadSae(model, budget, source | ({"notes": notes} if notes else {}))


def inspect(folder, reading, layer):
    """Read the folder as `read_foreign` does, before any activation is there: a dict of its source.

    `code` in it is the hash of the library's module, which the shelf imports by name. Raises the
    errors of `read_foreign`, but for those that need the activations (their width).
    """
    found = read_foreign(folder, reading, _STAND_IN, layer)
    model = found.model
    return {
        **found.source,
        "code": fingerprints.of_entry(LIBRARIES, found.source["library"]),
        "features": model.features,
        "width": model.width,
        "inference": model.inference or {"activation": "threshold"},
    }


class Identified(NamedTuple):
    """What the files of an SAE say; `family` and `k` are None where they leave it open."""

    family: str | None
    features: int
    width: int
    k: int | None
    k_open: bool
    """Whether the SAE's codes depend on a K that no file states."""


def identify(folder, layer=None, section=None, family=None):
    """Which SAE is in `folder`, before a sweep says what it is to hold: an Identified.

    layer: the block that the study reads. section: the sweep's `reading`. family: by which files
    are read that leave it open. Raises the errors of `read_foreign`, but for those that compare
    with a grid.
    """
    folder = Path(folder)
    found = []
    for any_family, k in _ANY:
        reading = Reading.of_sweep(SaeSpec(family or any_family, 1, k), section or {})
        _, _, sae = _read(folder, reading)
        _site_notes(sae.site, layer, reading, folder)
        _settle_input(sae, reading, _STAND_IN, folder)
        found.append(sae)
    one, other = found
    return Identified(
        one.family if one.family == other.family else None,
        one.encoder.shape[0],
        one.encoder.shape[1],
        one.k if one.k == other.k else None,
        one.k != other.k,
    )


_ANY = ("batchtopk", 1), ("topk", 2)
"""Family and K of two specs: what differs between readings by them is not the files'."""

_STAND_IN = object()
"""Statistics of activations that are not there yet."""


def _read(folder, reading):
    """(name of the library, its Folder, the ForeignSae)."""
    entries = LIBRARIES.entries()
    if reading.library is not None and reading.library not in entries:
        raise UserError(
            f"reading.library is {reading.library!r}: write one of {', '.join(entries)}"
        )
    classes = [name for entry in entries.values() for name in entry.config_classes]
    opened = Folder(folder, classes)
    readers = {name: LIBRARIES.module(name, "read") for name in entries}
    found = [name for name, reader in readers.items() if reader.recognises(opened)]
    if reading.library is not None:
        found = [reading.library]
    if len(found) != 1:
        what = " and ".join(found) if found else "no library that is known"
        raise UserError(
            f"{folder} looks like a folder of {what} (found {opened.found()}): say which with "
            f"reading.library in the sweep, one of {', '.join(entries)}"
        )
    try:
        sae = readers[found[0]].read(opened, reading)
    except RuntimeError as error:  # torch's, for shapes
        opened.refuse(f"has tensors that do not fit each other ({error})", "fetch its files again")
    opened.refuse_rest()
    return found[0], opened, sae


def _check_spec(sae, spec, folder):
    """UserError when the files state another family or another K than the grid's."""
    # Families that only other libraries train may stand under any name.
    stands = spec.family in STAND_IN.get(sae.family, ())
    known = sae.family in FAMILIES and not stands
    pairs = {
        "family": (sae.family if known else None, spec.family),
        "k": (sae.k, None if FAMILIES[spec.family].threshold.per_feature else spec.k),
    }
    for what, (stated, expected) in pairs.items():
        if None not in (stated, expected) and stated != expected:
            raise UserError(
                f"{folder} states {what} {stated!r}, but the SAE is to be {spec.name}: correct the "
                "sweep or name another folder"
            )


def _settle_threshold(sae, reading, folder):
    """(whose the threshold is, K to measure it with or None); sets the sweep's own."""
    if sae.activation != "threshold":
        return "none", None
    wanted = reading.threshold
    if isinstance(wanted, int | float):
        if sae.threshold is not None:
            raise UserError(
                f"the files in {folder} state thresholds: take reading.threshold out of the sweep"
            )
        sae.threshold, sae.strict = torch.tensor(float(wanted)), False
        return "reading", None
    if not (sae.measured or wanted == "measured"):
        return "folder", None
    budget = sae.k or reading.spec.k
    if budget is None:
        raise UserError(
            f"{folder} states neither a threshold nor K: state reading.threshold in the sweep"
        )
    sae.threshold, sae.strict = None, False
    return "measured", budget


def _settle_input(sae, reading, given, folder):
    """What is done to activations before the SAE; sets the statistics that do it."""
    chosen = reading.input or sae.input
    if chosen is None:
        raise UserError(
            f"{folder} does not say what was done to activations before the SAE saw them: state "
            "reading.input in the sweep (raw for nothing, training_cache for this study's "
            f"normalisation, or the path of a file with {' and '.join(STATISTICS)})"
        )
    if chosen == "folder":
        return chosen
    if chosen != "raw" and sae.input_normalisation != "none":
        raise UserError(
            f"the SAE in {folder} normalises each token ({sae.input_normalisation}), which "
            f"reading.input {chosen!r} cannot come before: write raw"
        )
    if chosen == "raw":
        sae.mean = sae.std = None
    elif chosen == "training_cache":
        if given is None:
            raise UserError(
                f"{folder} holds no {' and '.join(STATISTICS)}, which an SAE needs to normalise "
                "its input: import it with the statistics of its training activations"
            )
        if given is not _STAND_IN:
            sae.mean, sae.std = (value.float() for value in given)
    else:
        sae.mean, sae.std = _statistics_file(Path(chosen))
    return chosen


def _statistics_file(path):
    """(mean [D], std []) of a file: tensors or JSON or YAML."""
    if not path.is_file():
        raise UserError(
            f"reading.input is {str(path)!r}, which is no file: write {', '.join(INPUTS)} or the "
            "path of one"
        )
    found = read_named(path)
    missing = [name for name in STATISTICS if name not in found]
    if missing:
        raise UserError(
            f"{path} lacks {missing[0]}: reading.input needs {' and '.join(STATISTICS)}"
        )
    mean = numbers(found[STATISTICS[0]], STATISTICS[0], path, dimensions=1)
    return mean, numbers(found[STATISTICS[1]], STATISTICS[1], path)


def _site_notes(site, layer, reading, folder):
    """Warnings about the activations that the SAE was trained on; UserError where they differ."""
    notes = []
    if reading.hook_point is None:
        own, point = site.layer, site.point
        if point in BLOCK_INPUTS:
            own, point = None if own is None else own - 1, BLOCK_OUTPUTS[0]
        if point is not None and not any(name in point for name in BLOCK_OUTPUTS):
            raise UserError(
                f"the SAE in {folder} was trained on {site.point}, but this study reads the output "
                "of whole blocks: name another SAE, or state reading.hook_point: block_output if "
                "its config is wrong"
            )
        if None not in (own, layer) and own != layer:
            raise UserError(
                f"the SAE in {folder} was trained on the output of block {own}, but the sweep "
                f"reads block {layer}: set layer of the sweep or of the backbone to {own}"
            )
    if reading.tokens is None and site.tokens == "class":
        raise UserError(
            f"the SAE in {folder} was trained on class tokens only, but this study reads patches: "
            "name another SAE, or state reading.tokens: patches if its config is wrong"
        )
    if reading.tokens is None and site.tokens == "all":
        notes.append("trained on patches and the class token; scored on patches only")
    return notes
