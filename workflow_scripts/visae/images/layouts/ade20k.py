"""ADE20K scene parsing (SceneParse150): `images/` and `annotations/`, `training` and `validation`.

A mask's value 0 is unlabelled and v = 1 … 150 the class v − 1, named by `objectInfo150.txt`
(tab-separated, with columns `Idx` and `Name`) where that lies in the root. Images have a mask
instead of a label.
"""

from visae.base.errors import UserError
from visae.images.index import UNLABELLED, ImageRecord
from visae.images.layouts import Layout
from visae.images.layouts.folders import image_files_by_stem, number_classes, require
from visae.images.layouts.texts import read_table, whole

SPLITS = ("training", "validation")
SOURCE = "http://sceneparsing.csail.mit.edu (ADEChallengeData2016.zip)"

ENTRY = Layout(
    label="ADE20K (SceneParse150)",
    description="Images and masks of 150 classes in folders beside each other.",
    source=SOURCE,
    splits=SPLITS,
    images={"training": 20_210, "validation": 2_000},
    masks=True,
    labels=False,
    lists=("objectInfo150.txt",),
)

_CLASSES = 150


def read(root, split):
    """Image records of `split` with their masks, and the class records."""
    images = image_files_by_stem(require(root / "images" / split, "The folder of images", SOURCE))
    masks = image_files_by_stem(
        require(root / "annotations" / split, "The folder of masks", SOURCE)
    )
    unpaired = sorted(images.keys() ^ masks.keys())
    if unpaired:
        lacks = "mask" if unpaired[0] in images else "image"
        raise UserError(
            f"The images and masks of the split '{split}' of {root} do not pair up: "
            f"'{unpaired[0]}' has no {lacks}, and {len(unpaired)} file(s) are alone; unpack the "
            f"data set again ({SOURCE})."
        )
    records = [
        ImageRecord(
            name,
            f"images/{split}/{file}",
            UNLABELLED,
            "",
            f"annotations/{split}/{masks[name]}",
        )
        for name, file in images.items()
    ]
    return records, number_classes(_class_names(root / "objectInfo150.txt"))


def _class_names(path):
    if not path.exists():
        return [f"object_{number:03d}" for number in range(1, _CLASSES + 1)]
    rows = read_table(path, ("Idx", "Name"), delimiters="\t")
    for expected, (number, name) in enumerate(rows, start=1):
        if whole(number) != str(expected):
            raise UserError(
                f"{path} numbers the class '{name}' {number} where {expected} is expected: get it "
                f"again from {SOURCE}."
            )
    return [name for _, name in rows]
