"""The two columns that are read: images, and what they show."""

from typing import NamedTuple

from visae.base.errors import UserError
from visae.images.containers.tables import column_of_file, holds_images, schema_of
from visae.images.index import UNLABELLED
from visae.images.layouts.folders import by_number, require
from visae.images.layouts.huggingface import SOURCE


class Columns(NamedTuple):
    """Names of the two columns; the mode that the first declares for its pictures, or None."""

    image: str
    mode: str | None
    label: str | None


def choose(root, files, image=None, label=None, labelled=True):
    """The Columns of `files` (which are alike): those that are named, or the only ones there are.

    labelled: whether a column of labels is needed.

    Raises:
        UserError: none or several, or one that is not what it is named as.
    """
    first = files[0]
    where, features = root / first.path, first.features
    image = image or _only(where, features, "Image")
    if labelled:
        label = label or _only(where, features, "ClassLabel")
    for file in files:
        path = require(root / file.path, "A file of the split", SOURCE)
        there = schema_of(path).names
        for column in filter(None, (image, label)):
            if column not in there:
                raise UserError(
                    f"{path} has no column '{column}', but {', '.join(there)}: name one of these "
                    "in `options`, or get the file again."
                )
    schema = schema_of(where)
    if not holds_images(schema.field(image).type):
        raise UserError(
            f"The column '{image}' of {where} holds {schema.field(image).type} and no encoded "
            "images: name another, by `options: {image: …}`, or save the pictures in it."
        )
    mode = (features.get(image) or {}).get("mode")
    # All pictures end in RGB.
    return Columns(image, None if mode == "RGB" else mode, label)


def labels_of(root, files, columns):
    """(names of the classes, for each file the numbers of its rows' classes or `UNLABELLED`).

    A column of class labels has names, in every file its own; of any other the values are names.
    Without a label is a row with null, or with the -1 of `datasets`.

    Raises:
        UserError: a value that is no class, named with its row.
    """
    classes, values = {}, []
    for file in files:
        own = _names(root / file.path, file.features.get(columns.label) or {}, columns.label)
        found = column_of_file(root / file.path, columns.label)
        values.append(_named(root / file.path, found.to_pylist(), own, columns.label))
        for name in own or ():
            classes.setdefault(str(name), len(classes))
    if not classes:
        there = {name for own in values for name in own if name is not None}
        numbers = all(name.lstrip("-").isdigit() for name in there)
        names = sorted(there, key=by_number if numbers else None)
        classes = {name: number for number, name in enumerate(names)}
    classes[None] = UNLABELLED
    return [name for name in classes if name is not None], [
        [classes[name] for name in own] for own in values
    ]


def _names(file, feature, column):
    """The names of a column of class labels, None for another column."""
    names = feature.get("names")
    if feature.get("_type") == "ClassLabel" and not names:
        raise UserError(
            f"The description of {file} gives the classes of '{column}' no names: cast the column "
            "to ClassLabel(names=[…]) and save the data set again."
        )
    return names


def _named(file, values, names, column):
    """Labels as names: by the list, or as they are; None for none."""
    found = []
    for row, value in enumerate(values):
        if value is None or (names and value == -1):
            found.append(None)
        elif names and isinstance(value, int) and 0 <= value < len(names):
            found.append(str(names[value]))
        elif names and value in names:
            found.append(value)
        elif names or not isinstance(value, int | str):
            what = f"none of its {len(names)} classes" if names else "no name of a class"
            raise UserError(
                f"Row {row} of {file} has the label {value}, which is {what}: choose a split with "
                f"labels, or another column than '{column}'."
            )
        else:
            found.append(str(value))
    return found


def _only(where, features, kind):
    """The one column of this kind: by features or, where no column has any, by type or name.

    A column of lists is described by a list, or by what its members are.
    """
    names, lists = [], []
    for name, feature in features.items():
        if isinstance(feature, dict) and feature.get("_type") == kind:
            names.append(name)
        elif kind in _member_types(feature):
            lists.append(name)
    there = list(features)
    if not features:
        schema = schema_of(where)
        names = [field.name for field in schema if _looks_like(field, kind)]
        there = schema.names
    if len(names) != 1:
        hint = (
            f" ({', '.join(lists)} holds lists of them: keep one of each list's members)"
            if lists
            else ""
        )
        option = "image" if kind == "Image" else "label"
        raise UserError(
            f"{where} has {len(names)} columns of type {kind} ({', '.join(names) or 'none'}) and "
            f"exactly one is needed: name one of {', '.join(there)} by "
            f"`options: {{{option}: …}}`{hint}"
            f"{', or do without, by `labels: none`' if option == 'label' and not names else ''}."
        )
    return names[0]


def _looks_like(field, kind):
    """Whether a column that declares nothing is one of images, or is called `label`."""
    return holds_images(field.type) if kind == "Image" else field.name == "label"


def _member_types(feature):
    """The types that stand inside of a feature's description, at any depth."""
    if not isinstance(feature, dict | list):
        return set()
    inside = feature.values() if isinstance(feature, dict) else feature
    own = {part["_type"] for part in inside if isinstance(part, dict) and "_type" in part}
    return own.union(*map(_member_types, inside))
