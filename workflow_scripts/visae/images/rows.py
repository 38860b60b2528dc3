"""An index of which only the rows that are used are parsed: one shard of many needs few.

The file is held as bytes, with the place of each line. Order and fingerprint need no more.
"""

import csv
from collections.abc import Sequence
from typing import cast

import numpy as np

from visae.base.fingerprints import of_bytes
from visae.base.seals import read_beside
from visae.images.index import (
    IMAGES_FORMAT,
    ImageIndex,
    ImageRecord,
    as_hashed,
    check_header,
    check_label,
    order_of,
    parsed,
    read_classes,
    read_index,
    shuffled,
)

_AT_ONCE = 2**16  # lines that are hashed together


def open_index(images_path, classes_path, order_seed=None):
    """What `read_index` reads, or its `shuffled` order, with rows that are parsed when used.

    Raises:
        UserError: a damaged or foreign file, other columns; when a row is used, what `read_index`
            refuses in one.
    """
    content = read_beside(images_path, IMAGES_FORMAT)
    ends = _line_ends(content)
    if ends is None:
        index = read_index(images_path, classes_path)
        return index if order_seed is None else shuffled(index, order_seed)
    classes = read_classes(classes_path)
    rows = IndexRows(images_path, content, ends, classes)
    return OpenIndex(rows if order_seed is None else rows.ordered(order_seed), classes)


class OpenIndex(ImageIndex):
    """An ImageIndex whose images are `IndexRows`."""

    __slots__ = ()

    def fingerprint(self):
        """That of the same index when it was read whole."""
        return of_bytes(
            *cast(IndexRows, self.images).hashed(), b"\n", *map(as_hashed, self.classes)
        )


class IndexRows(Sequence):
    """The images of an index, parsed when they are asked for."""

    def __init__(self, path, content, ends, classes, order=None):
        self._path, self._content, self._ends, self._classes = path, content, ends, classes
        self._order = np.arange(len(ends) - 1) if order is None else order
        header = tuple(content[: ends[0]].decode().split(","))
        check_header(header, ImageRecord, path)
        self._lacks_mask = len(header) < len(ImageRecord._fields)

    def __len__(self):
        return len(self._order)

    def __getitem__(self, where):
        if not isinstance(where, slice):
            return self[where : where + 1 or None][0]
        rows = self._order[where]
        return tuple(map(self._record, self._lines(rows), rows.tolist()))

    def ordered(self, seed):
        """The same images in the order of `shuffled`."""
        order = order_of(len(self), seed)
        return IndexRows(self._path, self._content, self._ends, self._classes, order)

    def hashed(self):
        """What stands for all images in a fingerprint, in pieces."""
        end = b"\t\n" if self._lacks_mask else b"\n"
        for first in range(0, len(self), _AT_ONCE):
            lines = self._lines(self._order[first : first + _AT_ONCE])
            together = b"\n".join(lines) + b"\n"
            if b'"' in together:  # somewhere a comma is no border
                yield b"".join(as_hashed(self._parsed(line, 0)) for line in lines)
            else:
                yield together.replace(b",", b"\t").replace(b"\n", end)

    def _lines(self, rows):
        """The bytes of some rows, without their ends."""
        starts, stops = (self._ends[rows] + 1).tolist(), self._ends[rows + 1].tolist()
        return [self._content[a:b] for a, b in zip(starts, stops, strict=True)]

    def _record(self, line, row):
        record = self._parsed(line, row + 2)
        check_label(record, self._classes, self._path)
        return record

    def _parsed(self, line, number):
        [fields] = csv.reader([line.decode()])
        return parsed(fields, ImageRecord, self._path, number)


def _line_ends(content):
    """The places of all line ends: int64 [header and rows]; None where a row has several lines."""
    values = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(values == ord("\n"))
    quotes = np.flatnonzero(values == ord('"'))
    odd = np.bincount(np.searchsorted(ends, quotes)) % 2
    return None if odd.any() or not content.endswith(b"\n") else ends
