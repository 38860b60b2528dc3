"""The images below a folder, and which class each has.

Classes come from the list that the config names; else from `metadata.csv` or `metadata.jsonl`, as
Hugging Face's ImageFolder has them; else from the folders in which the images lie. An image that
has none is given without one: `visae.images.layouts.index_images` says what becomes of it.
"""

from visae.base.errors import UserError
from visae.images.index import UNLABELLED, ImageRecord
from visae.images.layouts.folders import (
    as_path,
    by_number,
    image_files,
    number_classes,
    stem,
)
from visae.images.layouts.imagefolder.entry import SOURCE
from visae.images.layouts.imagefolder.lists import listed_labels

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.tsv", "metadata.json")


def read_images(root, split, **_options):
    """Image records of `split` without classes; ids are paths below its folder, without suffix."""
    folder = root / split
    if not folder.is_dir():
        raise UserError(
            f"The split '{split}' was looked for in {folder}, which is no folder: get it from "
            f"{SOURCE}, name splits as folders are named, or divide one folder by `splits: "
            "{train: {share: 0.8}, val: {share: 0.2}}`."
        )
    prefix = f"{split}/" if split else ""
    files = image_files(folder, below=True)
    return [ImageRecord(stem(file), prefix + file, UNLABELLED, "") for file in files], []


def read(root, split, list=None, file=None, label=None):
    """Image and class records of `split`; the classes are sorted, numbers as numbers."""
    records, _ = read_images(root, split)
    path, own = _list(root, split, list)
    labels = None if path is None else listed_labels(path, file, label)
    # No list, or none with labels (captions, for example), or one about another split.
    if path is None or labels is None or (list is None and _of_others(root, split, path, labels)):
        folders = [_below(split, record).rpartition("/")[0] for record in records]
        names = [folder.partition("/")[0] for folder in folders]
    else:
        names = _by_list(root, split, path, own, records, labels)
    numbers = all(name.lstrip("-").isdigit() for name in names if name)
    classes = sorted({name for name in names if name}, key=by_number if numbers else None)
    label_of = {name: number for number, name in enumerate(classes)} | {"": UNLABELLED}
    return [
        record._replace(label=label_of[name], class_name=name)
        for record, name in zip(records, names, strict=True)
    ], number_classes(classes)


def _list(root, split, chosen):
    """The file of labels, and whether it is about this split alone; (None, False) without one."""
    if isinstance(chosen, dict):
        if split not in chosen:
            return None, False
        path, own = root / chosen[split], True
    elif chosen is not None:
        path, own = root / chosen, False
    else:
        found = [(root / split / name, True) for name in METADATA]
        found += [(root / name, not split) for name in METADATA]
        return next((each for each in found if each[0].is_file()), (None, False))
    if not path.is_file():
        raise UserError(
            f"The list of labels was looked for at {path} and is not there: correct "
            "`options: {list: …}` of the data set."
        )
    return path, own


def _of_others(root, split, path, labels):
    """Whether all images of a list in the root are there, and none of them is of this split."""
    if not split or path.parent != root:
        return False
    files = [as_path(file) for file in labels]
    inside = any(file.startswith(f"{split}/") for file in files)
    return bool(files) and not inside and all((root / file).is_file() for file in files)


def _by_list(root, split, path, own, records, labels):
    """The class of each record by {file: label}, "" where the list has none."""
    beside = path.parent.relative_to(root).as_posix()
    number_of = {}
    for number, record in enumerate(records):
        for name in _names(record.path, split, beside):
            number_of.setdefault(name, set()).add(number)
    names, unknown = [""] * len(records), []
    for file, label in labels.items():
        found = number_of.get(as_path(file), set())
        if len(found) > 1:
            first, second, *_ = sorted(records[number].path for number in found)
            raise UserError(
                f"{path} names '{file}', which may be {first} or {second}: write paths below "
                f"{path.parent}."
            )
        if not found:
            unknown.append(file)
        for number in found:
            if label and names[number] not in ("", label):
                raise UserError(
                    f"{path} gives {records[number].path} the labels {names[number]} and {label}, "
                    f"the second as '{file}': one label per image is read, so take one out."
                )
            names[number] = label or names[number]
    if unknown and (own or len(unknown) == len(labels)):
        raise UserError(
            f"{path} names {len(unknown)} image(s) that are not below {root / split}, the first is "
            f"'{unknown[0]}': correct the list, or unpack the images again."
        )
    return names


def _names(path, split, beside):
    """What a list may call the image at `path`: from the root, its split, the list, or by name."""
    whole = {path, path.rpartition("/")[2]}
    for folder in (split, beside):
        if folder not in ("", ".") and path.startswith(f"{folder}/"):
            whole.add(path.removeprefix(f"{folder}/"))
    return whole | {stem(name) for name in whole}


def _below(split, record):
    return record.path.removeprefix(f"{split}/") if split else record.path
