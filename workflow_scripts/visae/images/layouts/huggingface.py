"""A Hugging Face data set saved on disk by `save_to_disk`, one folder per split.

Any data set with one column of images and one of class labels is read, whatever the columns and
splits are called. The images stay inside the Arrow files (see `visae.images.arrow`).
"""

import json

from visae.base.errors import UserError
from visae.images.arrow import read_table, row_path
from visae.images.index import ImageRecord
from visae.images.layouts import Layout
from visae.images.layouts.folders import number_classes, require

SOURCE = "https://huggingface.co/datasets, by load_dataset(…).save_to_disk(…)"

ENTRY = Layout(
    label="Hugging Face data set",
    description="Saved by `save_to_disk`, with one column of images and one of labels.",
    source=SOURCE,
    splits=None,  # each data set has its own
)


def read(root, split):
    """Image and class records of `split`; image ids are `<split>/<row>`."""
    folder = root / split
    features = _json(folder / "dataset_info.json")["features"]
    image_column = _column(folder, features, "Image")
    label_column = _column(folder, features, "ClassLabel")
    names = features[label_column]["names"]
    records = []
    for data_file in _json(folder / "state.json")["_data_files"]:
        file = require(folder / data_file["filename"], "A file of the split", SOURCE)
        for row, label in enumerate(read_table(file)[label_column].to_pylist()):
            image_id = f"{split}/{len(records):08d}"
            if label is None or not 0 <= label < len(names):
                raise UserError(
                    f"The image '{image_id}' of {root} has the label {label}, which is none of "
                    f"its {len(names)} classes: choose a split with labels."
                )
            path = row_path(f"{split}/{file.name}", row, image_column)
            records.append(ImageRecord(image_id, path, label, names[label]))
    return records, number_classes(names)


def _json(path):
    require(path, "A description of the saved data set", SOURCE)
    return json.loads(path.read_text(encoding="utf-8"))


def _column(folder, features, kind):
    """The name of the one column of this kind."""
    names = [name for name, feature in features.items() if feature.get("_type") == kind]
    if len(names) != 1:
        raise UserError(
            f"{folder} has {len(names)} columns of type {kind} ({', '.join(names) or 'none'}) and "
            "exactly one is needed: save it with one column of images and one of class labels."
        )
    return names[0]
