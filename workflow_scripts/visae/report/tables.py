"""The tables of a study, read from the files that `visae.tables.layout` wrote.

CSV has the exact values and Markdown the title, the headings, the notes and the rounding: the page
shows Markdown's cells and sorts by CSV's.
"""

import csv
import io
import itertools
import re
from pathlib import Path
from typing import NamedTuple

from visae.base.errors import UserError
from visae.report.cells import Cell, gap, in_order, number, parsed, title_of

# Tables with more rows are written as text and drawn when they are opened: a browser lays out
# thousands of rows slowly.
LONGEST = 300

TIDY = {
    "scores": "Every score: one row per SAE, metric and reading",
    "downstream": "Every downstream result: one row per task, representation and reading",
}
"""Titles of the tables that have no Markdown view."""


class Column(NamedTuple):
    """The heading of a column, and whether it holds numbers."""

    heading: str
    numeric: bool


class TableView(NamedTuple):
    """A table as the page shows it. `text` is the CSV of a long table, which has no `rows`."""

    name: str
    title: str
    notes: tuple
    columns: tuple
    rows: list
    text: str | None
    length: int


class _Words(NamedTuple):
    """What the Markdown view adds to the values."""

    title: str
    headings: list
    cells: list
    notes: tuple


def read_tables(csv_paths, markdown_paths):
    """Every table of `csv_paths`, with the words of the Markdown view of the same name."""
    markdown = {Path(path).stem: path for path in markdown_paths}
    tables = [_read_table(path, markdown.get(Path(path).stem)) for path in csv_paths]
    return sorted(tables, key=lambda table: (table.name in TIDY, in_order(table.name, "table")))


def read_rows(path):
    """The rows of a CSV file as dicts of strings."""
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def _read_table(path, markdown_path):
    name = Path(path).stem
    text = Path(path).read_text(encoding="utf-8")
    keys, *values = csv.reader(io.StringIO(text))
    words = markdown_path and _words(Path(markdown_path).read_text(encoding="utf-8"))
    if not words:
        title = TIDY.get(name, title_of(name))
        words = _Words(title, [title_of(key) for key in keys], [None] * len(values), ())
    if len(words.headings) != len(keys) or len(words.cells) != len(values):
        raise UserError(
            f"{path} and {markdown_path} are not views of one table: remove both and run the "
            "workflow again"
        )
    columns = tuple(
        Column(heading, _numeric([row[i] for row in values]))
        for i, heading in enumerate(words.headings)
    )
    long = len(values) > LONGEST
    rows = [] if long else [_row(keys, *pair) for pair in zip(values, words.cells, strict=True)]
    if "reason" in keys and not any(row[keys.index("reason")] for row in values) and not long:
        # Nothing is missing, so that nothing is explained.
        columns, rows = _without(keys.index("reason"), columns, rows)
    return TableView(
        name, words.title, words.notes, columns, rows, text if long else None, len(values)
    )


def _words(text):
    """Title, headings, cells and notes of a table's Markdown; None if it is another page."""
    title, _, *lines = text.splitlines()
    if not title.startswith("**"):
        return None
    rows = [_split(line) for line in itertools.takewhile(bool, lines)]
    notes = tuple(line for line in lines[len(rows) :] if line)
    return _Words(title.strip("*"), rows[0], rows[2:], notes)


def _split(line):
    """The cells of a row of a Markdown table."""
    return [part.strip().replace(r"\|", "|") for part in re.split(r"(?<!\\)\|", line)[1:-1]]


def _numeric(column):
    filled = [text for text in column if text]
    return bool(filled) and all(parsed(text) is not None for text in filled)


def _without(position, columns, rows):
    """Columns and rows without the column at `position`."""
    shorter = [[*row[:position], *row[position + 1 :]] for row in rows]
    return (*columns[:position], *columns[position + 1 :]), shorter


def _row(keys, values, shown):
    reason = dict(zip(keys, values, strict=True)).get("reason")
    cells = []
    for i, (key, text) in enumerate(zip(keys, values, strict=True)):
        if text:
            value = parsed(text)
            rounded = shown[i] if shown else (text if value is None else number(value))
            cells.append(Cell(rounded, value))
        else:
            # A row with a value everywhere needs no reason, so that this gap is none.
            cells.append(Cell("") if key == "reason" else gap(reason))
    return cells
