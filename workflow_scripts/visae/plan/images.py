"""How many images and classes each split has: by its index, the config, or as published."""

from dataclasses import dataclass
from pathlib import Path

from visae.base.paths import Paths

PUBLISHED_IMAGES = {
    "imagenet": {"train": 1_281_167, "val": 50_000},
    "inaturalist_2021": {"train": 2_686_843, "train_mini": 500_000, "val": 100_000},
    "cub_200_2011": {"train": 5_994, "test": 5_794},
    "dtd": {
        f"{part}{number}": 3_760 if part == "trainval" else 1_880
        for part in ("train", "val", "test", "trainval")
        for number in range(1, 11)
    },
    "ade20k": {"training": 20_210, "validation": 2_000},
}
"""Layout → split → images, as the authors of the data sets state them."""

PUBLISHED_CLASSES = {"imagenet": 1000, "inaturalist_2021": 10_000, "cub_200_2011": 200, "dtd": 47}


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
    layout = "" if entry["generated"] else entry["layout"]
    known_classes = PUBLISHED_CLASSES.get(layout, 0)
    if "images" in entry["splits"][split]:
        return Count(entry["splits"][split]["images"], known_classes, "config")
    images = PUBLISHED_IMAGES.get(layout, {}).get(split)
    return Count(images or 0, known_classes, "published" if images else "unknown")


def _rows(path):
    """Rows of a CSV file below its header."""
    with open(path, "rb") as handle:
        return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b"")) - 1
