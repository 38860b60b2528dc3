"""Lists and annotations as people's tools write them: encodings, line ends, marks, column orders.

What has one meaning is read. Anything else is refused with the line and the cure.
"""

import codecs
import csv

from visae.base.errors import UserError
from visae.base.reading import guarded, parse_json
from visae.images.index import first_duplicate
from visae.images.layouts.folders import require

# By their mark; that of UTF-32 begins as UTF-16's does.
_MARKED = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


def read_text(path):
    """The text of the file at `path`, line ends as `\\n`: UTF-8, or UTF-16 or UTF-32 with its mark.

    Raises:
        UserError: the file is missing or none, or has another encoding.
    """
    with guarded(path, "a text", "get it again"):
        content = path.read_bytes()
    marked = (name for name, marks in _MARKED.items() if content.startswith(marks))
    try:
        text = content.decode(next(marked, "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}, is not in UTF-8: convert the file, for example by "
            f"`iconv -f WINDOWS-1252 -t UTF-8` if it was written under Windows."
        ) from error
    if "\0" in text:
        raise UserError(
            f"{path} holds zero bytes, so it is no text, or UTF-16 without its mark: convert it to "
            "UTF-8, for example by `iconv -f UTF-16LE -t UTF-8`."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path, fields, what, source):
    """Split every line of the text file at `path` into `fields` parts at white space.

    The last part keeps its inner spaces. Empty lines and those that begin with `#` are left out.

    Raises:
        UserError: the file is missing (see `require`) or a line has fewer parts.
    """
    require(path, what, source)
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        parts = line.split(maxsplit=fields - 1)
        if not parts or parts[0].startswith("#"):
            continue
        if len(parts) < fields:
            raise UserError(
                f"{path}, line {number}: '{line.strip()}' has {len(parts)} field(s) and {fields} "
                f"are expected, with white space between them: get the file again from {source}."
            )
        rows.append([part.rstrip() for part in parts])
    return rows


def read_table(path, columns, unique=True, delimiters=",;\t"):
    """The fields of two `columns` of a table with a header, in its order.

    Commas, semicolons or tabs separate the fields; other columns may stand around them.

    Raises:
        UserError: a column is missing, a line is shorter, or the first field repeats (if `unique`).
    """
    lines = [
        (number, line)
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip() and not line.startswith("#")
    ] or [(1, "")]
    (_, top), *rest = lines
    delimiter = max(delimiters, key=top.count)
    header = [name.strip() for name in next(csv.reader([top], delimiter=delimiter), [])]
    if not set(columns) <= set(header):
        raise UserError(
            f"{path} begins with '{','.join(header)}' and not with the columns "
            f"{','.join(columns)}: correct the file or get it again."
        )
    places = [header.index(column) for column in columns]
    rows = []
    # With their ends: a field between quotes may hold some.
    reader = csv.reader((f"{line}\n" for _, line in rest), delimiter=delimiter, strict=True)
    with guarded(path, "a table", "correct the file or get it again"):
        cells = [(rest[reader.line_num - 1][0], row) for row in reader]
    for number, row in cells:
        if len(row) <= max(places):
            raise UserError(
                f"{path}, line {number}: '{delimiter.join(row)}' has {len(row)} field(s), where "
                f"{len(header)} are expected: correct the file or get it again."
            )
        rows.append(tuple(row[place].strip() for place in places))
    repeated = first_duplicate(row[0] for row in rows) if unique else None
    if repeated is not None:
        raise UserError(f"{path} lists '{repeated}' twice: correct the file or get it again.")
    return rows


def read_json(path, source, keys=()):
    """The object in the JSON file at `path`, which must have `keys`.

    Raises:
        UserError: the file is cut, holds no object, or lacks one of the keys.
    """
    try:
        content = parse_json(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is no whole JSON file ({error}): get it again from {source}."
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} holds no JSON object but a {type(content).__name__}: get it again from "
            f"{source}."
        )
    for key in keys:
        if content.get(key) is None:
            raise UserError(
                f"{path} has no '{key}': get it again from {source}, in the form in which that is."
            )
    return content


def whole(text):
    """A number as lists write it (`1`, `01`, `1.0`) without what means nothing: `1`.

    Text that is no whole number is given back.
    """
    digits = text.removesuffix(".0")
    return str(int(digits)) if digits.isascii() and digits.isdigit() else text
