"""The demo's data sets: real photographs, laid out on disk like the paper's data sets.

The photographs are those that scikit-image and scikit-learn bring in their packages (nothing is
downloaded). Each data set lies in a folder of its own below one root and is read by the layout
that reads the real data set. Equal seeds and sizes give equal files.
"""

import dataclasses
import shutil
import uuid
from pathlib import Path

import numpy as np

from visae.base.errors import UserError
from visae.base.files import write_json
from visae.images.demo_data import digits, faces, mosaics, organisms, photographs, textures

# Data set → (layout in visae.images.layouts, writer). New ones go last: the position seeds it.
DATASETS = {
    "photographs": ("imagenet", photographs.write),
    "digits": ("cub_200_2011", digits.write),
    "textures": ("dtd", textures.write),
    "organisms": ("inaturalist_2021", organisms.write),
    "mosaics": ("ade20k", mosaics.write),
    "faces": ("huggingface", faces.write),
}

_MARKER = "demo_data.json"


@dataclasses.dataclass(frozen=True)
class DemoSizes:
    """How many images the demo's data sets have, and their side in pixels."""

    image_size: int = 64
    photographs_train: int = 24
    """Images per class (54 classes)."""
    photographs_val: int = 10
    digits_train: int = 20
    """Images per class (10 classes)."""
    digits_test: int = 10
    textures_part: int = 12
    """Images per class (9 classes) in each of a partition's three parts."""
    organisms_train: int = 10
    """Images per class (27 classes)."""
    organisms_val: int = 5
    mosaics_training: int = 120
    """Images."""
    mosaics_validation: int = 60
    faces_train: int = 40
    """Images per class (2 classes)."""
    faces_test: int = 20


def write_demo_data(root, seed, sizes=None):
    """Write every data set of `DATASETS` below `root`; earlier ones of the demo are replaced.

    Returns:
        dict: data set → its folder.

    Raises:
        UserError: a folder of that name holds something else, or a photograph is missing.
    """
    sizes = sizes or DemoSizes()
    folders = {}
    for position, (name, (layout, write)) in enumerate(DATASETS.items()):
        folder = Path(root) / name
        _check_replaceable(folder)
        partial = folder.with_name(f".{name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            partial.mkdir(parents=True)
            write(partial, np.random.default_rng([seed, position]), sizes)
            description = {"layout": layout, "seed": seed, "sizes": dataclasses.asdict(sizes)}
            write_json(partial / _MARKER, description)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        folders[name] = folder
    return folders


def _check_replaceable(folder):
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        raise UserError(
            f"{folder} holds files that the demo has not written and would replace: choose "
            "another root for the demo's data, or move them away."
        )
