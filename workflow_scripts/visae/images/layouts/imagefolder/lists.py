"""Lists of labels as tools write them: tables with a header, JSON, JSON lines, `path label` lines.

Read are CSV and TSV (`metadata.csv` of Hugging Face's ImageFolder, Kaggle's tables), JSON lines
(`metadata.jsonl`), JSON (file → label; a list of objects; StyleGAN's `dataset.json`), and text with
a path and a label per line (Caffe's and MMPretrain's `train.txt`).
"""

import csv
import io
from typing import cast

from visae.base.errors import UserError
from visae.base.reading import guarded, parse_json
from visae.images.index import first_duplicate
from visae.images.layouts.texts import read_text, whole

FILES = ("file_name", "filename", "file", "image", "image_path", "path", "filepath", "image_id",
         "id", "name")  # fmt: skip
CLASSES = ("label", "class", "class_name", "category", "target", "labels")
"""Columns that are looked for, in this order, where the config names none; capitals are alike."""


def listed_labels(path, file=None, label=None):
    """{file: class} as the list at `path` has them; None if it has no column of labels.

    file, label: its columns, if the config names them. Files without a label are left out.

    Raises:
        UserError: a list of another form, a column that is not there, a file with two labels.
    """
    rows, columns = _READERS.get(path.suffix.lower(), _text)(path)
    if columns is not None:
        file = _column(path, columns, file, FILES, "file")
        if label is None and not _found(columns, CLASSES):
            return None
        label = _column(path, columns, label, CLASSES, "label")
        rows = [(number, row.get(file), row.get(label)) for number, row in rows]
    labels: dict[str, str] = {}
    for number, name, value in cast(list[tuple], rows):
        if name in (None, ""):
            raise UserError(f"{path}, {number}, names no file: correct the list.")
        text = _class(path, number, value)
        if text and labels.setdefault(str(name), text) != text:
            raise UserError(
                f"{path} gives '{name}' the labels {labels[str(name)]} and {text}: one label per "
                "image is read, so name a list with one, or `labels: none`."
            )
    return labels


def _class(path, number, value):
    """The name of a class, "" for none."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(
            f"{path}, {number}, has the label {value!r}, which is no name or number of one class: "
            "name another column by `options: {label: …}`, or set `labels: none`."
        )
    return whole(str(value).strip())


def _column(path, columns, chosen, usual, option):
    if chosen is None:
        chosen = _found(columns, usual)
    if chosen not in columns:
        raise UserError(
            f"{path} has the columns {', '.join(columns)}: name the one of "
            f"{'images' if option == 'file' else 'labels'} by `options: {{{option}: …}}`."
        )
    return chosen


def _found(columns, usual):
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in usual if name in lower), None)


def _table(path):
    text = read_text(path)
    first = text.partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    # As one text: a field between quotes may hold ends of lines.
    content = io.StringIO(text, newline="")
    reader = csv.DictReader(content, delimiter=delimiter, skipinitialspace=True, strict=True)
    with guarded(path, "a table", "correct the list"):
        columns = [(name or "").strip() for name in reader.fieldnames or []]
        if not columns:
            raise ValueError("it is empty")
        if (twice := first_duplicate(name for name in columns if name)) is not None:
            raise ValueError(f"its column {twice} stands there twice")
        reader.fieldnames = columns
        return [(f"line {reader.line_num}", row) for row in reader], columns


def _json_lines(path):
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            rows.append((f"line {number}", _object(path, f"line {number}", line)))
    return _objects(path, rows)


def _json(path):
    content = _object(path, "the file", read_text(path), kinds=(dict, list))
    if isinstance(content, dict) and isinstance(content.get("labels"), list):
        content = content["labels"]
    if isinstance(content, dict):
        return [("an entry", name, value) for name, value in content.items()], None
    if all(isinstance(item, list) and len(item) == 2 for item in content):
        return [(f"entry {n}", *item) for n, item in enumerate(content, start=1)], None
    return _objects(path, [(f"entry {n}", item) for n, item in enumerate(content, start=1)])


def _objects(path, rows):
    for number, row in rows:
        if not isinstance(row, dict):
            raise UserError(f"{path}, {number}, is no object with named values: correct the list.")
    return rows, list(dict.fromkeys(name for _, row in rows for name in row))


def _object(path, number, text, kinds=(dict,)):
    try:
        content = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}, {number}, is no JSON ({error}): correct the list.") from error
    if not isinstance(content, kinds):
        raise UserError(f"{path}, {number}, is no object with named values: correct the list.")
    return content


def _text(path):
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        parts = line.strip().rsplit(maxsplit=1)
        if not parts or line.startswith("#"):
            continue
        if len(parts) < 2:
            raise UserError(
                f"{path}, line {number}: '{line.strip()}' is no path and label with a space "
                "between them: correct the list."
            )
        rows.append((f"line {number}", *parts))
    return rows, None


_READERS = {".csv": _table, ".tsv": _table, ".jsonl": _json_lines, ".ndjson": _json_lines,
            ".json": _json}  # fmt: skip
