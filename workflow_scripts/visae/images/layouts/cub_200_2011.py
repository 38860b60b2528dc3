"""CUB-200-2011: `images/` and the text files that number images and classes from 1.

`images.txt` (image number, path in `images/`), `image_class_labels.txt` (image, class number),
`classes.txt` (class number, name), `train_test_split.txt` (image, 1 for training).
"""

from visae.base.errors import UserError
from visae.images.index import ImageRecord, first_duplicate
from visae.images.layouts import Layout
from visae.images.layouts.folders import as_path, check_listed, number_classes, stem
from visae.images.layouts.texts import read_lines, whole

SPLITS = ("train", "test")
SOURCE = "https://www.vision.caltech.edu/datasets/cub_200_2011/"

ENTRY = Layout(
    label="CUB-200-2011",
    description="Images of birds, with text files that number images and species.",
    source=SOURCE,
    splits=SPLITS,
    images={"train": 5_994, "test": 5_794},
    classes=200,
    lists=("*.txt",),
    paper="cub",
)


def read(root, split):
    """Image and class records of `split`."""
    path_of = _table(root / "images.txt", "The list of images", as_path)
    class_of = _table(root / "image_class_labels.txt", "The list of image labels", whole)
    training = _table(root / "train_test_split.txt", "The list of training and test images", whole)
    names = _class_names(root / "classes.txt")
    for file, listed in (("image_class_labels.txt", class_of), ("train_test_split.txt", training)):
        _check_same_images(root / file, path_of, listed)
    check_listed(root / "images", path_of.values(), root / "images.txt")
    flag = {"train": "1", "test": "0"}[split]
    records = []
    for number, path in path_of.items():
        if training[number] not in ("0", "1"):
            raise UserError(
                f"{root / 'train_test_split.txt'} gives the image {number} the flag "
                f"'{training[number]}', which is neither 0 nor 1: get the file again from {SOURCE}."
            )
        if class_of[number] not in names:
            raise UserError(
                f"{root / 'image_class_labels.txt'} gives the image {number} the class "
                f"'{class_of[number]}', which is not in classes.txt: get both again from {SOURCE}."
            )
        if training[number] == flag:
            label = int(class_of[number]) - 1
            name = names[class_of[number]]
            records.append(ImageRecord(stem(path), f"images/{path}", label, name))
    return records, number_classes(names.values())


def _class_names(path):
    """Class number (as written) → name; the numbers are 1 … C in order."""
    names = _table(path, "The list of classes", str)
    for expected, number in enumerate(names, start=1):
        if number != str(expected):
            raise UserError(
                f"{path} numbers a class '{number}' where {expected} is expected: get it again "
                f"from {SOURCE}."
            )
    return names


def _table(path, what, meaning):
    """Number → `meaning` of the second field, of a text file whose numbers are unique."""
    rows = [(whole(key), meaning(value)) for key, value in read_lines(path, 2, what, SOURCE)]
    repeated = first_duplicate(key for key, _ in rows)
    if repeated is not None:
        raise UserError(f"{path} lists the number {repeated} twice: get it again from {SOURCE}.")
    return dict(rows)


def _check_same_images(path, path_of, listed):
    differing = sorted(path_of.keys() ^ listed.keys())
    if differing:
        raise UserError(
            f"{path} and images.txt differ in {len(differing)} image(s), the first is number "
            f"{differing[0]}: get both again from {SOURCE}."
        )
