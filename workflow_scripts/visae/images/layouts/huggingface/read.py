"""Which of the three forms lies there; what all have in common: files of rows with two columns."""

from collections import Counter

from visae.base.errors import UserError
from visae.images.containers import row_path
from visae.images.containers.tables import rows_without_image
from visae.images.index import ImageRecord
from visae.images.layouts.folders import number_classes
from visae.images.layouts.huggingface import cached, hub, saved
from visae.images.layouts.huggingface.columns import choose, labels_of


def read(root, split, image=None, label=None, config=None):
    """Image and class records of `split`.

    Image ids are a file and the row in it, or of a data set from `save_to_disk` the split and the
    row in that: where `datasets` finds them.
    """
    form = next((form for form in (saved, hub, cached) if form.is_there(root, split)), saved)
    files = form.find(root, split, config)
    columns = choose(root, files, image, label)
    names, labels = labels_of(root, files, columns)
    records, rows = [], Counter()
    for file, own in zip(files, labels, strict=True):
        _check_images(root / file.path, columns.image)
        first = rows[file.prefix]
        rows[file.prefix] += len(own)
        records += [
            ImageRecord(
                f"{file.prefix}/{first + row:08d}",
                row_path(file.path, row, columns.image, columns.mode),
                number,
                names[number],
            )
            for row, number in enumerate(own)
        ]
    return records, number_classes(names)


def _check_images(file, column):
    missing = rows_without_image(file, column)
    if missing:
        row, path = missing[0]
        what = f"names {path}, which is not there" if path else "is empty"
        raise UserError(
            f"{len(missing)} row(s) of {file} hold no image, the first is row {row}: it {what}; "
            "save the data set again with its pictures inside, or remove the rows."
        )
