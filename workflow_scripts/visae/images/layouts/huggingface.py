"""A Hugging Face data set saved on disk by `save_to_disk`, one folder per split.

Any data set with one column of images and one of class labels is read, whatever the columns and
splits are called. The images stay inside the Arrow files (see `visae.images.arrow`).
"""

from visae.base.errors import UserError
from visae.base.reading import guarded
from visae.images.arrow import read_table, row_path
from visae.images.index import ImageRecord
from visae.images.layouts import Layout
from visae.images.layouts.folders import number_classes, require
from visae.images.layouts.texts import read_json

SOURCE = "https://huggingface.co/datasets, by load_dataset(…).save_to_disk(…)"

ENTRY = Layout(
    label="Hugging Face data set",
    description="Saved by `save_to_disk`, with one column of images and one of labels.",
    source=SOURCE,
    splits=None,  # each data set has its own
    lists=("*/dataset_info.json", "*/state.json"),
)


def read(root, split):
    """Image and class records of `split`; image ids are `<split>/<row>`."""
    folder = root / split
    described = folder / "dataset_info.json"
    features = _described(described, "features", dict)
    with guarded(described, "the description of a data set", "save the data set again"):
        image_column = _column(folder, features, "Image")
        label_column = _column(folder, features, "ClassLabel")
        names = features[label_column].get("names")
    if not isinstance(names, list) or not all(name and isinstance(name, str) for name in names):
        raise UserError(
            f"{described} gives the classes of '{label_column}' no names: cast the column to "
            "ClassLabel(names=[…]) and save the data set again."
        )
    records = []
    for file in _data_files(folder):
        table = read_table(file)
        for column in (image_column, label_column):
            if column not in table.column_names:
                raise UserError(
                    f"{file} has no column '{column}', which {described} states: save the data "
                    "set again."
                )
        for row, label in enumerate(table[label_column].to_pylist()):
            image_id = f"{split}/{len(records):08d}"
            if not isinstance(label, int) or not 0 <= label < len(names):
                raise UserError(
                    f"The image '{image_id}' of {root} has the label {label}, which is none of "
                    f"its {len(names)} classes: choose a split with labels."
                )
            path = row_path(f"{split}/{file.name}", row, image_column)
            records.append(ImageRecord(image_id, path, label, names[label]))
    return records, number_classes(names)


def _data_files(folder):
    """The Arrow files of a split, in order."""
    path = folder / "state.json"
    state = _described(path)
    if state.get("_indices_data_files"):
        raise UserError(
            f"{folder} was saved with a choice or an order of its rows that lies beside them: call "
            "`flatten_indices()` and save the data set again."
        )
    files = _described(path, "_data_files", list)
    for number, data_file in enumerate(files):
        name = data_file.get("filename") if isinstance(data_file, dict) else None
        if not name or not isinstance(name, str):
            raise UserError(f"{path} gives file number {number} no name: save the data set again.")
        yield require(folder / name, "A file of the split", SOURCE)


def _described(path, key=None, kind=None):
    """The description at `path`, or its entry `key`, which must be there and of this type."""
    require(path, "A description of the saved data set", SOURCE)
    found = read_json(path, SOURCE, (key,) if key else ())
    if key and not isinstance(found[key], kind):
        raise UserError(f"{path} holds a '{key}' of another type: save the data set again.")
    return found[key] if key else found


def _column(folder, features, kind):
    """The name of the one column of this kind.

    A column of lists is described by a list, or by what its members are.
    """
    names, lists = [], []
    for name, feature in features.items():
        if isinstance(feature, dict) and feature.get("_type") == kind:
            names.append(name)
        elif kind in _member_types(feature):
            lists.append(name)
    if len(names) != 1:
        hint = (
            f" ({', '.join(lists)} holds lists of them: keep one of each list's members)"
            if lists
            else ""
        )
        raise UserError(
            f"{folder} has {len(names)} columns of type {kind} ({', '.join(names) or 'none'}) and "
            "exactly one is needed: save it with one column of images and one of class labels"
            f"{hint}."
        )
    return names[0]


def _member_types(feature):
    """The types that stand inside of a feature's description, at any depth."""
    if not isinstance(feature, dict | list):
        return set()
    inside = feature.values() if isinstance(feature, dict) else feature
    own = {part["_type"] for part in inside if isinstance(part, dict) and "_type" in part}
    return own.union(*map(_member_types, inside))
