"""How many images and classes each split has: by its index, its files, the config, or as published.

Files are listed only where there is no index, which for a million of them takes some seconds.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from visae.base.errors import UserError
from visae.base.paths import Paths
from visae.base.seals import read_beside
from visae.images.index import CLASSES_FORMAT, IMAGES_FORMAT
from visae.images.layouts import LAYOUTS, index_images, labels_of, shares_of


@dataclass(frozen=True)
class Count:
    """How many images a split has.

    source: `index`, `config`, `files`, `published` or `unknown` (then 0).
    """

    images: int
    classes: int
    source: str


def count_images(study, results, outputs=frozenset()):
    """Split name → Count: by the index below the folder `results`, or else as listed above.

    outputs: paths that a run writes. An index among them is of an earlier config, and not read.
    """
    paths = Paths(str(results))
    return {
        f"{dataset}/{split}": _count(paths, dataset, entry, split, outputs)
        for dataset, entry in study.config["datasets"].items()
        for split in entry["splits"]
    }


def _count(paths, dataset, entry, split, outputs):
    asked = entry["splits"][split].get("images")
    indexed = _indexed(paths, dataset, split, outputs)
    # With another number than is asked for, it has all images that there are, or is of before.
    if indexed and indexed.images == (asked or indexed.images):
        return indexed
    layout = None if entry["generated"] else LAYOUTS[entry["layout"]]
    known_classes = layout.classes if layout else 0
    if layout and layout.counted and (listed := _listed(entry, split)):
        images = len(listed.images)
        return Count(min(images, asked or images), len(listed.classes), "files")
    if indexed and indexed.images < asked:
        return indexed
    if asked:
        return Count(asked, known_classes, "config")
    images = layout.images.get(split) if layout else None
    return Count(images or 0, known_classes, "published" if images else "unknown")


def _indexed(paths, dataset, split, outputs):
    """The Count of an index that stands; None where there is none, or it cannot be read.

    Such as an older version's: it is written again, or refused by a job.
    """
    index, classes = paths.index_and_classes(f"{dataset}/{split}")
    if index not in outputs and Path(index).is_file() and Path(classes).is_file():
        with contextlib.suppress(UserError):
            return Count(_rows(index, IMAGES_FORMAT), _rows(classes, CLASSES_FORMAT), "index")
    return None


def _listed(entry, split):
    """The split's index, made for its length; None where it cannot be made."""
    try:
        return index_images(
            entry["layout"],
            entry["root"],
            split,
            entry["options"],
            labels_of(entry, split),
            shares_of(entry),
        )
    except (UserError, ImportError, OSError):
        # The job that indexes the data set says what is wrong with it. Snakemake's own environment
        # need not hold the libraries that read containers.
        return None


def _rows(path, kind):
    """Rows of a CSV file below its header."""
    return read_beside(path, kind).count(b"\n") - 1
