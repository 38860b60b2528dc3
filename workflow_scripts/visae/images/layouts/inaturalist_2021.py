"""iNaturalist 2021: `train`, `train_mini` or `val` with one folder per species.

Folders are named by number and taxonomy, from kingdom to species, as in
`00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris`. The class is
the folder's name and its parent the genus (with its family: some names of genera occur in two
kingdoms). Where `{split}.json` lies in the root, it is what says which images there are.
"""

from visae.base.errors import UserError
from visae.images.index import ImageRecord
from visae.images.layouts import Layout
from visae.images.layouts.folders import (
    as_path,
    check_listed,
    class_folders,
    images_by_class,
    number_classes,
    require,
    stem,
    subfolders,
)
from visae.images.layouts.texts import read_json, whole

SPLITS = ("train", "train_mini", "val")
SOURCE = "https://github.com/visipedia/inat_comp/tree/master/2021"

ENTRY = Layout(
    label="iNaturalist 2021",
    description="One folder of images per species, named by its taxonomy.",
    source=SOURCE,
    splits=SPLITS,
    images={"train": 2_686_843, "train_mini": 500_000, "val": 100_000},
    classes=10_000,
    lists=("train.json", "train_mini.json", "val.json"),
    paper="inaturalist",
)

_RANKS = 8  # number, kingdom, phylum, class, order, family, genus, species


def read(root, split):
    """Image and class records of `split`."""
    require(root / split, f"The folder of the split '{split}'", SOURCE)
    listing = root / f"{split}.json"
    if listing.exists():
        return _from_json(root, listing)
    class_folders(root / split, SOURCE)
    present = [name for name in SPLITS if (root / name).is_dir()]
    names = sorted({folder for name in present for folder in subfolders(root / name)})
    classes = number_classes(names, {name: _genus(name, root / split) for name in names})
    return images_by_class(root, split, classes), classes


def _from_json(root, listing):
    content = read_json(listing, SOURCE, ("images", "annotations", "categories"))
    images = {i: as_path(path) for i, path in _pairs(listing, content, "images", "file_name")}
    category_of = {
        i: whole(str(category))
        for i, category in _pairs(listing, content, "annotations", "category_id", "image_id")
    }
    names = {i: name for i, name in _pairs(listing, content, "categories", "image_dir_name")}
    ordered = sorted(names.values())
    classes = number_classes(ordered, {name: _genus(name, listing) for name in ordered})
    label_of = {record.class_name: record.label for record in classes}
    check_listed(root, images.values(), listing)
    records = []
    for image, path in images.items():
        category = category_of.get(image)
        if category not in names:
            raise UserError(
                f"{listing} gives the image '{path}' the category {category}, which is none of its "
                f"{len(names)} categories: get the file again from {SOURCE}."
            )
        name = names[category]
        image_id = f"{name}/{stem(path.rpartition('/')[2])}"
        records.append(ImageRecord(image_id, path, label_of[name], name))
    return records, classes


def _pairs(listing, content, section, value, key="id"):
    """(key as text, value) of each object in a section; UserError for one that lacks either.

    Tables that were JSON have numbers as texts or with a point: `"3"` and `3.0` are 3.
    """
    for number, item in enumerate(content[section]):
        item = item if isinstance(item, dict) else {}
        missing = [name for name in (key, value) if item.get(name) is None]
        if missing:
            raise UserError(
                f"{listing}: number {number} of '{section}' has no '{missing[0]}', which the 2021 "
                f"data set has: get the file again from {SOURCE}, or remove it to read the folders."
            )
        yield whole(str(item[key])), item[value]


def _genus(name, where):
    """Family and genus of a class folder's name."""
    parts = name.split("_")
    if len(parts) < _RANKS:
        raise UserError(
            f"The class '{name}' in {where} does not carry number and taxonomy from kingdom to "
            f"species in its name: unpack the 2021 data set again ({SOURCE})."
        )
    return "_".join(parts[5:7])
