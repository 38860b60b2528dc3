"""Pictures inside other files, read in place: rows of Arrow and Parquet files, members of tars.

`{file}#{number}#{part}` names one. In a table it is the row and the column, in a tar the first byte
and how many there are. So an image is found without a search.
"""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

_INSIDE = re.compile(r"(?s)(.+\.(arrow|parquet|tar))#(\d+)#([^#/]*)")


class Inside(NamedTuple):
    """What a path inside a container says; `kind` is the container's suffix."""

    file: str
    kind: str
    number: int
    part: str


def inside(path):
    """What `path` says if it lies inside a container, else None."""
    text = str(path)
    found = _INSIDE.fullmatch(text) if "#" in text else None
    return found and Inside(found[1], found[2], int(found[3]), found[4])


def row_path(file, row, column, mode=None):
    """The path of the image in `column` of a row; `mode` is Pillow's, if the column declares one.

    Whatever stands in a column's name is percent-encoded: `image/encoded` is no folder.
    """
    return f"{file}#{row}#{quote(column, safe='')}{f':{mode}' if mode else ''}"


def column_of(part):
    """(column, mode or None) of the last part of a `row_path`."""
    column, _, mode = part.partition(":")
    return unquote(column), mode or None


def member_path(file, offset, size):
    """The path of the `size` bytes at `offset` of a tar."""
    return f"{file}#{offset}#{size}"


def beside(file, path):
    """The file that a table names instead of holding it: absolute, or as seen from the table's."""
    return Path(file).parent / path
