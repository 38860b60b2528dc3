"""What several layouts share: listing folders, and comparing lists with the images on disk.

An image is what Pillow reads: by the suffix, or by the content where the suffix tells nothing.

Folders are listed with one pass each and without a `stat` per file: ImageNet's training split
(1.28 million files) is indexed in seconds from a warm file system.
"""

import os
import unicodedata

from visae.base.errors import UserError
from visae.base.progress import counted
from visae.images.classes import shown
from visae.images.index import ClassRecord, ImageRecord, first_duplicate


def stem(name):
    """A file name or relative path without its suffix."""
    return os.path.splitext(name)[0]


def subfolders(folder):
    """Sorted names of the folders inside `folder`, hidden ones left out."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())


def image_files(folder, below=False):
    """Sorted names of the images inside `folder`, hidden ones left out.

    below: those in its subfolders as well, as paths relative to `folder`.
    """
    from visae.images.decoding import is_image  # loads Pillow

    folder = os.path.abspath(folder)
    found, waiting = [], [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(os.path.join(folder, prefix)) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    if below and not _leads_back(entry):
                        waiting.append(f"{prefix}{entry.name}/")
                elif is_image(entry.path):
                    found.append(prefix + entry.name)
    return sorted(found)


def _leads_back(entry):
    """Whether a folder is a link to one that it lies in, and so has no end."""
    if not entry.is_symlink():
        return False
    target = os.path.realpath(entry.path)
    return os.path.commonpath([target, os.path.realpath(os.path.dirname(entry.path))]) == target


def image_files_by_stem(folder):
    """Stem → name of the image files inside `folder`.

    Raises:
        UserError: two files differ in their suffix only.
    """
    files = image_files(folder)
    repeated = first_duplicate(map(stem, files))
    if repeated is not None:
        raise UserError(
            f"{folder} holds two images named '{repeated}' with different suffixes: remove one."
        )
    return {stem(name): name for name in files}


def require(path, what, source):
    """Return `path` if it exists.

    Raises:
        UserError: saying `what` was looked for, where, and the `source` to get it from.
    """
    if not path.exists():
        raise UserError(f"{what} was looked for at {path} and is not there: get it from {source}.")
    return path


def class_folders(folder, source):
    """Sorted names of the class folders in `folder`.

    Raises:
        UserError: the folder is missing, or holds archives or nothing instead of class folders.
    """
    require(folder, "The folder with one folder of images per class", source)
    names = subfolders(folder)
    if not names:
        archives = [n for n in sorted(os.listdir(folder)) if n.endswith((".tar", ".zip", ".gz"))]
        state = f"only archives such as {archives[0]}" if archives else "no class folders"
        raise UserError(
            f"{folder} holds {state}, but one folder of images per class is expected: unpack the "
            f"data set there ({source})."
        )
    return names


def images_by_class(root, folder, classes):
    """Records of all images in `root/folder/<class>/` and below, ids `<class>/<stem>`.

    Class names that have no folder there are left out: a split need not hold every class.

    Raises:
        UserError: a class folder without images, a folder that is none of `classes`, or images
            beside the class folders.
    """
    loose = image_files(root / folder)
    if loose:
        raise UserError(
            f"{root / folder} holds {len(loose)} image(s) beside the class folders, the first is "
            f"'{loose[0]}': move them into the folder of their class."
        )
    label_of = {record.class_name: record.label for record in classes}
    records = []
    names = subfolders(root / folder)
    for name in counted(names, f"class folders of {folder} listed", len(names)):
        if name not in label_of:
            raise UserError(
                f"The folder {root / folder / name} is none of the {len(label_of)} classes of this "
                f"data set, {shown(list(label_of))}, where {folder} has {shown(names)}: remove it, "
                "or unpack the data set again."
            )
        files = image_files(root / folder / name, below=True)
        if not files:
            raise UserError(
                f"The class folder {root / folder / name} holds no images: unpack that class "
                "again, or remove the folder."
            )
        label, prefix = label_of[name], f"{folder}/{name}/"
        records += [
            ImageRecord(f"{name}/{stem(file)}", prefix + file, label, name) for file in files
        ]
    return records


def as_path(text):
    """A path as lists write it (`.\\cat\\1.jpg`), as it lies below the root (`cat/1.jpg`)."""
    return text.replace("\\", "/").removeprefix("./")


def check_listed(root, paths, listing):
    """Refuse `paths` (relative to `root`, as `listing` names them) that are not on disk.

    Raises:
        UserError: naming the first missing image and how many there are.
    """
    present = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in present:
            inside = root / folder
            present[folder] = set(os.listdir(inside)) if inside.is_dir() else set()
        if name not in present[folder]:
            missing.append(path)
    if missing:
        folder, _, name = missing[0].rpartition("/")
        spelt = {unicodedata.normalize("NFC", other) for other in present[folder]}
        cure = (
            "its name is there in another form of Unicode, so unpack the images again where names "
            "are kept as they are"
            if unicodedata.normalize("NFC", name) in spelt
            else "unpack the data set's images again"
        )
        raise UserError(
            f"{listing} names {len(missing)} image(s) that are not in {root}, the first is "
            f"'{missing[0]}': {cure}."
        )


def by_number(name):
    """The key that sorts names which are numbers; `1` and `01` have a place each, in every run."""
    return int(name), name


def number_classes(names, parents=None):
    """Class records for `names` in their order, with `parents` (name → parent) where known."""
    parents = parents or {}
    return [ClassRecord(i, name, parents.get(name, "")) for i, name in enumerate(names)]
