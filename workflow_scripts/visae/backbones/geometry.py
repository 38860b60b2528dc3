"""What of a backbone decides the size of everything after it: patches, width, work per image.

`visae.backbones.measuring` measures it, which takes seconds of imports. What has been measured is
kept: for the backbones that this repository configures in `resources/backbone_geometry.json`, for
models at their own image size in the lists of `visae.backbones.catalogue`, for others in the
study's `plan/geometry.json`.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from visae.backbones.catalogue import as_listed
from visae.backbones.sizes import pair
from visae.base.errors import UserError
from visae.base.reading import read_json
from visae.base.repository import RESOURCES
from visae.base.seals import read_document, write_document

FORMAT = "visae-geometry-1"
SHIPPED = RESOURCES / "backbone_geometry.json"


@dataclass(frozen=True)
class Geometry:
    """patches: P. width: D. flops: of one image up to and including each block, [depth]."""

    patches: int
    width: int
    flops: tuple[int, ...]


def grid(entry, geometry):
    """(rows, columns) of the patches of an image; None where the config entry does not say it.

    By its image_size, with square patches: a model's own size (null) says nothing.
    """
    if entry["image_size"] is None:
        return None
    height, width = pair(entry["image_size"])
    side = math.isqrt(height * width // geometry.patches)
    rows, columns = height // max(side, 1), width // max(side, 1)
    return (rows, columns) if rows * columns == geometry.patches else None


def architecture(entry):
    """What of a backbone's config entry decides its Geometry, as a JSON-able dictionary."""
    keys = ("loader", "model", "image_size", "options")
    folder = entry["weights"] if Path(entry["weights"]).is_dir() else None
    return {key: entry[key] for key in keys} | {"folder": folder}


def read_geometries(path):
    """The geometries kept in a file: a dictionary, for `known`.

    Empty if there is no file, or one that is damaged: what was kept is measured again.
    """
    try:
        entries = read_json(path) if path == SHIPPED else read_document(path, FORMAT)["entries"]
    except UserError:
        return {}
    return {
        _key(entry["architecture"]): Geometry(
            entry["patches"], entry["width"], tuple(entry["flops"])
        )
        for entry in entries
    }


def write_geometries(path, geometries):
    """Keep `geometries`, a dictionary as `read_geometries` gives it."""
    entries = [
        {"architecture": json.loads(key)} | asdict(geometry) for key, geometry in geometries.items()
    ]
    write_document(path, FORMAT, {"entries": entries})


def known(backbones, geometries):
    """Name → Geometry, or None, of `backbones` (name → config entry), by `geometries` or a list."""
    return {
        name: geometries.get(_key(architecture(entry))) or listed_geometry(entry)
        for name, entry in backbones.items()
    }


def listed_geometry(entry):
    """The Geometry of a backbone by its loader's list; None where that does not say it."""
    listed = as_listed(entry)
    if listed is None or not listed.block:
        return None
    flops = tuple(listed.stem + listed.block * (n + 1) for n in range(listed.blocks))
    return Geometry(math.prod(listed.grid), listed.width, flops)


def complete(backbones, path, measure):
    """Name → Geometry of all `backbones`: what neither the repository nor `path` knows is measured.

    measure: a function of config entries (name → entry) that answers with name → Geometry. What
    it has measured is added to `path`.
    """
    kept = read_geometries(path)
    found = known(backbones, read_geometries(SHIPPED) | kept)
    missing = {name: backbones[name] for name, geometry in found.items() if geometry is None}
    if missing:
        measured = measure(missing)
        kept |= {_key(architecture(missing[name])): measured[name] for name in missing}
        write_geometries(path, kept)
        found |= measured
    return found


def _key(description):
    return json.dumps(description, sort_keys=True)
