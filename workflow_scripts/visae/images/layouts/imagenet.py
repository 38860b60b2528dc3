"""ImageNet (ILSVRC 2012): `train/<wnid>/*.JPEG`, and `val/` in folders or as flat files.

The layout also serves any data set of one folder per class below `train` and `val`. Kaggle's
archive, which puts both below `ILSVRC/Data/CLS-LOC`, is read as it unpacks. Flat validation
images take their labels from the first of these that lies in the root:

- `LOC_val_solution.csv` (Kaggle): `ImageId,PredictionString`, the string begins with the wnid;
- `ILSVRC2012_devkit_t12/data/` (the authors' development kit): the class number of the n-th
  image in the n-th line of `ILSVRC2012_validation_ground_truth.txt`, and the wnids of those
  numbers in `meta.mat`. (They are not in alphabetical order, as other lists of wnids are.)

An optional `parents.csv` (`class,parent`) in the root gives the classes' hierarchy.
"""

from visae.base.errors import UserError
from visae.base.reading import guarded
from visae.images.index import UNLABELLED, ImageRecord
from visae.images.layouts import Layout
from visae.images.layouts.folders import (
    check_listed,
    class_folders,
    image_files,
    image_files_by_stem,
    images_by_class,
    number_classes,
    require,
    stem,
    subfolders,
)
from visae.images.layouts.texts import read_lines, read_table, whole

SPLITS = ("train", "val")
SOURCE = "https://image-net.org/download-images (ILSVRC 2012, tasks 1 and 2)"

ENTRY = Layout(
    label="ImageNet (ILSVRC 2012)",
    description="One folder of images per class; those of `val` may lie flat.",
    source=SOURCE,
    splits=SPLITS,
    images={"train": 1_281_167, "val": 50_000},
    classes=1000,
    lists=("parents.csv", "LOC_val_solution.csv", "ILSVRC2012_devkit_t12/data/*.*"),
)

_KAGGLE_FOLDER = "ILSVRC/Data/CLS-LOC"
_KAGGLE_LIST = "LOC_val_solution.csv"
_DEVKIT = "ILSVRC2012_devkit_t12/data"


def read(root, split):
    """Image and class records of `split`; the classes are the folders of `train`, sorted."""
    base = f"{_KAGGLE_FOLDER}/" if (root / _KAGGLE_FOLDER).is_dir() else ""
    folder = f"{base}{split}"
    names = class_folders(root / f"{base}train", SOURCE)
    classes = number_classes(names, _parents(root / "parents.csv", names))
    require(root / folder, f"The images of the split '{split}'", SOURCE)
    if subfolders(root / folder):
        return images_by_class(root, folder, classes), classes
    return _flat_images(root, folder, classes), classes


def read_images(root, split):
    """Image records of `split` without classes, in folders of any depth, or flat."""
    base = f"{_KAGGLE_FOLDER}/" if (root / _KAGGLE_FOLDER).is_dir() else ""
    folder = f"{base}{split}"
    require(root / folder, f"The images of the split '{split}'", SOURCE)
    files = image_files(root / folder, below=True)
    return [ImageRecord(stem(file), f"{folder}/{file}", UNLABELLED, "") for file in files], []


def _flat_images(root, folder, classes):
    label_of = {record.class_name: record.label for record in classes}
    listing, listed = _listed_wnids(root)
    files = image_files_by_stem(root / folder)
    wnids = {name if name in files else stem(name): wnid for name, wnid in listed.items()}
    unlisted = sorted(files.keys() - wnids.keys())
    if unlisted:
        raise UserError(
            f"{listing} gives no class for {len(unlisted)} image(s) of {root / folder}, the first "
            f"is '{unlisted[0]}': get the list again from {SOURCE}."
        )
    check_listed(root, [f"{folder}/{files.get(name, name + '.JPEG')}" for name in wnids], listing)
    records = []
    for name, wnid in wnids.items():
        if wnid not in label_of:
            raise UserError(
                f"{listing} gives the image '{name}' the class '{wnid}', which has no folder in "
                f"the training split: unpack all {len(set(wnids.values()))} training classes."
            )
        path = f"{folder}/{files[name]}"
        records.append(ImageRecord(f"{wnid}/{name}", path, label_of[wnid], wnid))
    return records


def _listed_wnids(root):
    """The label list in the root and what it says: image name → wnid."""
    kaggle = root / _KAGGLE_LIST
    if kaggle.exists():
        boxes_of = dict(read_table(kaggle, ("ImageId", "PredictionString")))
        return kaggle, {name: boxes.partition(" ")[0] for name, boxes in boxes_of.items()}
    listing = root / _DEVKIT / "ILSVRC2012_validation_ground_truth.txt"
    what = (
        f"The list of the flat validation images' classes ({_KAGGLE_LIST} in the data set's root, "
        "or the development kit's)"
    )
    rows = read_lines(listing, 1, what, SOURCE)
    wnid_of = _devkit_wnids(listing.with_name("meta.mat"))
    return listing, {
        f"ILSVRC2012_val_{number:08d}": _wnid(wnid_of, whole(text), listing, number)
        for number, (text,) in enumerate(rows, start=1)
    }


def _devkit_wnids(path):
    """ILSVRC2012_ID → wnid of the leaves in the development kit's `meta.mat`."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    import scipy.io  # noqa: F401 (here, so that the process below has it)

    require(path, "The development kit's list of classes", SOURCE)
    cure = f"get it again from {SOURCE}"
    # SciPy trusts the lengths in such a file. Damaged ones end its process, so that has one apart.
    with (
        guarded(path, "the kit's list of classes", cure),
        ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as apart,
    ):
        return apart.submit(_synsets, path).result()


def _synsets(path):
    import scipy.io

    synsets = scipy.io.loadmat(path, squeeze_me=True)["synsets"]
    return {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in synsets if s["num_children"] == 0}


def _wnid(wnid_of, text, listing, number):
    if not text.isdigit() or int(text) not in wnid_of:
        raise UserError(
            f"{listing}, line {number}: '{text}' is none of the class numbers 1 … {len(wnid_of)} "
            f"in meta.mat: get both files again from {SOURCE}."
        )
    return wnid_of[int(text)]


def _parents(path, names):
    """Class → parent from the optional table, {} without one."""
    if not path.exists():
        return {}
    parents = dict(read_table(path, ("class", "parent")))
    unknown = sorted(parents.keys() - set(names))
    if unknown:
        raise UserError(
            f"{path} names the class '{unknown[0]}', which has no folder in the training split: "
            "remove the line, or unpack the class."
        )
    return parents
