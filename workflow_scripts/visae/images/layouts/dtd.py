"""Describable Textures (DTD): `images/<class>/`, ten partitions in `labels/train1.txt` ….

A split's name is that of its list with the partition's number: `train1`, `val1`, `test1`, and
`trainval1`, the union of the first two, on which results are usually reported.
"""

from visae.base.errors import UserError
from visae.images.index import ImageRecord
from visae.images.layouts import Layout
from visae.images.layouts.folders import (
    as_path,
    check_listed,
    class_folders,
    number_classes,
    stem,
)
from visae.images.layouts.texts import read_lines

_PARTS = {"train": ("train",), "val": ("val",), "test": ("test",), "trainval": ("train", "val")}
SPLITS = tuple(f"{name}{number}" for number in range(1, 11) for name in _PARTS)
SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"

ENTRY = Layout(
    label="Describable Textures (DTD)",
    description="One folder of images per texture, and lists of ten partitions.",
    source=SOURCE,
    splits=SPLITS,
    images={split: 3_760 if split.startswith("trainval") else 1_880 for split in SPLITS},
    classes=47,
    lists=("labels/*.txt",),
    paper="dtd",
)


def read(root, split):
    """Image and class records of `split`; the classes are the folders of `images`, sorted."""
    name = split.rstrip("0123456789")
    partition = split.removeprefix(name)
    classes = number_classes(class_folders(root / "images", SOURCE))
    label_of = {record.class_name: record.label for record in classes}
    lists = _lists(root, partition)
    records = []
    for part in _PARTS[name]:
        listing = root / "labels" / f"{part}{partition}.txt"
        check_listed(root / "images", lists[part], listing)
        for path in lists[part]:
            class_name = path.split("/")[0]
            if class_name not in label_of:
                raise UserError(
                    f"{listing} names the image '{path}', which lies in no class folder: get the "
                    f"list again from {SOURCE}."
                )
            records.append(
                ImageRecord(stem(path), f"images/{path}", label_of[class_name], class_name)
            )
    return records, classes


def _lists(root, partition):
    """Part → paths in `images/`, the three parts of one partition checked to be disjoint."""
    lists, owner = {}, {}
    for part in ("train", "val", "test"):
        file = root / "labels" / f"{part}{partition}.txt"
        rows = read_lines(file, 1, "The list of images", SOURCE)
        lists[part] = [as_path(path) for (path,) in rows]
        for path in lists[part]:
            if owner.setdefault(path, part) != part:
                raise UserError(
                    f"{file} and {owner[path]}{partition}.txt overlap: both name the image "
                    f"'{path}'; get the lists again from {SOURCE}."
                )
    return lists
