"""The index of an image data set: which images a split has, where they lie, what they show.

Every layout (`visae.images.layouts`) ends in an `ImageIndex`; everything after it reads the
index only. The files are specified in docs/formats.md.
"""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from visae.base.errors import UserError
from visae.base.fingerprints import of_bytes
from visae.base.seals import read_text_beside, write_beside

IMAGES_FORMAT, CLASSES_FORMAT = "visae-index-1", "visae-classes-1"
UNLABELLED = -1


class ImageRecord(NamedTuple):
    """One image.

    `image_id` is unique in its split, `path` and `mask` are relative to the data set's root with
    `/` between folders, `label` is `UNLABELLED` and `class_name` empty where the truth is a mask.
    """

    image_id: str
    path: str
    label: int
    class_name: str
    mask: str = ""


class ClassRecord(NamedTuple):
    """One class; siblings share a non-empty `parent`."""

    label: int
    class_name: str
    parent: str = ""


class ImageIndex(NamedTuple):
    """The images of one split, sorted by `image_id`, and the classes of the whole data set.

    (Sorted but for what `shuffled` returns.)
    """

    images: Sequence[ImageRecord]
    classes: tuple[ClassRecord, ...]

    def fingerprint(self):
        """Hash of everything in the index, first 16 hexadecimal digits."""
        return of_bytes(*map(as_hashed, self.images), b"\n", *map(as_hashed, self.classes))


def as_hashed(record):
    """What stands for a record in a fingerprint."""
    return "\t".join(map(str, record)).encode() + b"\n"


def build_index(images, classes, where):
    """Sort and check image and class records; `where` names their source in messages.

    Raises:
        UserError: no images, an `image_id` twice, a label that is no class, a path with a carriage
            return, or classes that are not numbered 0 … C−1 in order with unique names.
    """
    classes = _checked_classes(classes, where)
    images = tuple(sorted(images))
    if not images:
        raise UserError(f"No images were found in {where}: check the data set's root and split.")
    for first, second in itertools.pairwise(images):
        if first.image_id == second.image_id:
            raise UserError(
                f"The image '{first.image_id}' is there twice in {where} ({first.path} and "
                f"{second.path}): remove one of the two."
            )
    for record in images:
        check_label(record, classes, where)
        if "\r" in record.path:  # which no table of rows keeps
            raise UserError(
                f"The image {record.path!r} in {where} has a line end in its name: rename it."
            )
    return ImageIndex(images, classes)


def _checked_classes(classes, where):
    """The class records; UserError unless they are numbered 0 … C−1 and have names of their own."""
    classes = tuple(classes)
    for position, record in enumerate(classes):
        if record.label != position:
            raise UserError(
                f"The classes of {where} are to be numbered 0 … {len(classes) - 1} without gaps, "
                f"but number {position} is missing ('{record.class_name}' has {record.label})."
            )
    repeated = first_duplicate(record.class_name for record in classes)
    if repeated is not None:
        raise UserError(f"The class '{repeated}' is listed twice in {where}: remove one of them.")
    return classes


def check_label(record, classes, where):
    """Refuse an image whose label is none of the `classes`; `where` names the index."""
    if record.label != UNLABELLED and not (
        0 <= record.label < len(classes) and classes[record.label].class_name == record.class_name
    ):
        raise UserError(
            f"The image '{record.image_id}' in {where} has label {record.label} "
            f"('{record.class_name}'), which is none of the {len(classes)} classes."
        )


def told_apart(images):
    """Records of which some share an id, but not the file, with their paths as ids of those.

    `cat/1.png` beside `cat/1.jpg` are two pictures.
    """
    images = tuple(images)
    times = Counter(record.image_id for record in images)
    return tuple(
        record if times[record.image_id] == 1 else record._replace(image_id=record.path)
        for record in images
    )


def dealt(images, shares):
    """{split: its ImageRecords}: the images of one folder, divided by `shares` (split → share).

    The order in which they are dealt depends on their paths alone, and looks random.
    """
    order = sorted(images, key=lambda record: of_bytes(record.path.encode()))
    parts, total, start = {}, 0.0, 0
    for split, share in shares.items():
        total += share
        end = round(total * len(order))
        parts[split], start = order[start:end], end
    return parts


def spread(index, images):
    """At most `images` images of `index` (all, if None), evenly spread over its classes.

    The classes stay as they are: which of them have images is another matter.
    """
    if images is None or images >= len(index.images):
        return index
    by_class = sorted(index.images, key=lambda record: (record.label, record.image_id))
    chosen = (by_class[number * len(by_class) // images] for number in range(images))
    return index._replace(images=tuple(sorted(chosen)))


def shuffled(index, seed):
    """The images of `index` in a seeded random order.

    That of a training cache: a chunk of images that are sorted by their folders holds one class,
    and the window within which training shuffles tokens a dozen of ImageNet's thousand.
    """
    order = order_of(len(index.images), seed)
    return index._replace(images=tuple(index.images[number] for number in order))


def order_of(images, seed):
    """The places in the index of `images` images, in a seeded random order: int64 [images]."""
    import numpy as np  # slow to import, and the Snakefile imports layouts

    return np.random.default_rng(seed).permutation(images)


def first_duplicate(values):
    """The first value that occurs a second time, or None."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def write_images(path, index):
    """Write the images of `index` as `index/{dataset}/{split}.csv`."""
    has_masks = any(record.mask for record in index.images)
    columns = ImageRecord._fields if has_masks else ImageRecord._fields[:-1]
    _write_rows(path, IMAGES_FORMAT, columns, (record[: len(columns)] for record in index.images))


def write_classes(path, index):
    """Write the classes of `index` as `index/{dataset}/classes.csv`."""
    _write_rows(path, CLASSES_FORMAT, ClassRecord._fields, index.classes)


def read_index(images_path, classes_path):
    """Read what `write_images` and `write_classes` wrote, checked like a new index.

    Raises:
        UserError: a file that is no such table, or rows that `build_index` refuses.
    """
    images = _read_rows(images_path, IMAGES_FORMAT, ImageRecord)
    return build_index(images, read_classes(classes_path), images_path)


def read_classes(path):
    """The `ClassRecord`s that `write_classes` wrote; UserError as for `read_index`."""
    return _checked_classes(_read_rows(path, CLASSES_FORMAT, ClassRecord), path)


def check_header(header, record_type, path):
    """Refuse an index with other columns than a record's; a mask's need not be there."""
    fields = record_type._fields
    if header != fields and (record_type is not ImageRecord or header != fields[:-1]):
        raise UserError(
            f"{path} has the columns '{','.join(header)}' and not '{','.join(fields)}': write the "
            "index again."
        )


def parsed(row, record_type, path, line):
    """A row of an index as a record; `path` and `line` are where it stands, for messages."""
    at = record_type._fields.index("label")
    try:
        return record_type(*row[:at], int(row[at]), *row[at + 1 :])
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{path}, line {line}: '{','.join(map(str, row))}' is no row of an index ({error}): "
            "write the index again."
        ) from error


def _write_rows(path, kind, columns, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_beside(path, kind, text.getvalue())


def _read_rows(path, kind, record_type):
    """The rows of a CSV file as records of `record_type`."""
    with io.StringIO(read_text_beside(path, kind), newline="") as handle:
        reader = csv.reader(handle)
        check_header(tuple(next(reader, ())), record_type, path)
        return [parsed(row, record_type, path, reader.line_num) for row in reader]
