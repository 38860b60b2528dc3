"""How many images and classes each split has: by its index, the config, or as published."""

from dataclasses import dataclass
from pathlib import Path

from visae.base.paths import Paths
from visae.images.layouts import LAYOUTS


@dataclass(frozen=True)
class Count:
    """How many images a split has. source: `index`, `config`, `published` or `unknown` (then 0)."""

    images: int
    classes: int
    source: str


def count_images(study, results):
    """Split name → Count: by the index below the folder `results`, the config, or as published."""
    paths = Paths(str(results))
    return {
        f"{dataset}/{split}": _count(paths, dataset, entry, split)
        for dataset, entry in study.config["datasets"].items()
        for split in entry["splits"]
    }


def _count(paths, dataset, entry, split):
    index, classes = Path(paths.index(f"{dataset}/{split}")), Path(paths.classes(dataset))
    if index.is_file() and classes.is_file():
        return Count(_rows(index), _rows(classes), "index")
    layout = None if entry["generated"] else LAYOUTS[entry["layout"]]
    known_classes = layout.classes if layout else 0
    if "images" in entry["splits"][split]:
        return Count(entry["splits"][split]["images"], known_classes, "config")
    images = layout.images.get(split) if layout else None
    return Count(images or 0, known_classes, "published" if images else "unknown")


def _rows(path):
    """Rows of a CSV file below its header."""
    with open(path, "rb") as handle:
        return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b"")) - 1
