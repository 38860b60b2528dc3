"""Which of the three forms lies there; what all have in common: files of rows with two columns."""

from collections import Counter

from visae.base.errors import UserError
from visae.base.progress import counted
from visae.images.containers import row_path
from visae.images.containers.tables import rows_of_file, rows_without_image
from visae.images.index import UNLABELLED, ImageRecord
from visae.images.layouts.folders import number_classes
from visae.images.layouts.huggingface import cached, hub, saved
from visae.images.layouts.huggingface.columns import choose, labels_of


def read(root, split, image=None, label=None, config=None):
    """Image and class records of `split`.

    Image ids are a file and the row in it, or of a data set from `save_to_disk` the split and the
    row in that: where `datasets` finds them.
    """
    files = _files(root, split, config)
    columns = choose(root, files, image, label)
    names, labels = labels_of(root, files, columns)
    named = ((number, names[number] if number >= 0 else "") for own in labels for number in own)
    records = [
        ImageRecord(name, path, *shown)
        for (name, path), shown in zip(_rows(root, files, columns), named, strict=True)
    ]
    return records, number_classes(names)


def read_images(root, split, image=None, label=None, config=None):
    """Image records of `split` without classes; no column need hold them."""
    files = _files(root, split, config)
    columns = choose(root, files, image, labelled=False)
    rows = _rows(root, files, columns)
    return [ImageRecord(name, path, UNLABELLED, "") for name, path in rows], []


def _files(root, split, config):
    form = next((form for form in (saved, hub, cached) if form.is_there(root, split)), saved)
    return form.find(root, split, config)


def _rows(root, files, columns):
    """(image id, path) of all rows."""
    before = Counter()
    for file in counted(files, "files listed", len(files)):
        _check_images(root / file.path, columns.image)
        first, rows = before[file.prefix], rows_of_file(root / file.path)
        before[file.prefix] += rows
        for row in range(rows):
            path = row_path(file.path, row, columns.image, columns.mode)
            yield f"{file.prefix}/{first + row:08d}", path


def _check_images(file, column):
    missing = rows_without_image(file, column)
    if missing:
        row, path = missing[0]
        what = f"names {path}, which is not there" if path else "is empty"
        raise UserError(
            f"{len(missing)} row(s) of {file} hold no image, the first is row {row}: it {what}; "
            "save the data set again with its pictures inside, or remove the rows."
        )
