"""The tables of a study as the page shows them: rounded to read, sorted by exact values."""

from pathlib import Path
from typing import NamedTuple

from visae.base.reading import parse_csv
from visae.base.seals import read_text_beside
from visae.report.cells import Cell, gap, in_order, number, parsed, title_of
from visae.tables import layout

# Tables with more rows are written as text and drawn when they are opened: a browser lays out
# thousands of rows slowly.
LONGEST = 300

TIDY = {
    "scores": "Every score: one row per SAE, metric and reading",
    "downstream": "Every downstream result: one row per task, representation and reading",
}
"""Titles of the tidy tables, which are CSV alone."""


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


def read_tables(json_paths, tidy_paths):
    """Every table: those of `json_paths`, the paper's first, then the tidy ones, which are CSV."""
    tables = [_of_json(Path(path)) for path in json_paths]
    tables.sort(key=lambda table: in_order(table.name, "table"))
    return tables + [_of_csv(Path(path)) for path in tidy_paths]


def _of_json(path):
    table = layout.read(path)
    columns = table.columns
    if not any(row.get("reason") for row in table.rows):
        # Nothing is missing, so that nothing is explained.
        columns = tuple(column for column in columns if column.key != "reason")
    return _view(path.stem, table, columns, layout.as_csv(table), layout.rounded)


def _of_csv(path):
    text = read_text_beside(path, layout.FORMAT)
    header = text.partition("\n")[0].split(",")
    cells = [row.cells for row in parse_csv(text, path, [header])]
    rows = [{key: _value(cell) for key, cell in row.items()} for row in cells]
    columns = tuple(layout.Column(key, title_of(key)) for key in header)
    table = layout.Table(TIDY[path.stem], columns, rows)
    return _view(path.stem, table, columns, text, lambda value, _: _plain(value))


def _value(cell):
    """The number or the word in a cell of CSV; None if it is empty."""
    found = parsed(cell)
    return found if found is not None else cell or None


def _plain(value):
    return value if isinstance(value, str) else number(value)


def _view(name, table, columns, text, rounded):
    """`columns`: those of `table` that are shown. rounded: (value, column) → what is read."""
    long = len(table.rows) > LONGEST
    # A long table is drawn from its whole CSV.
    columns = table.columns if long else columns
    return TableView(
        name,
        table.title,
        table.notes,
        tuple(Column(column.heading, _numeric(table.rows, column.key)) for column in columns),
        [] if long else [_cells(row, columns, rounded) for row in table.rows],
        text if long else None,
        len(table.rows),
    )


def _numeric(rows, key):
    filled = [row[key] for row in rows if row[key] is not None]
    return bool(filled) and all(map(_is_number, filled))


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cells(row, columns, rounded):
    cells = []
    for column in columns:
        value = row[column.key]
        if value is not None:
            exact = float(value) if _is_number(value) else None
            cells.append(Cell(rounded(value, column), exact))
        else:
            # A row with a value everywhere needs no reason, so that this gap is none.
            empty = column.key in ("reason", "warnings")
            cells.append(Cell("") if empty else gap(row.get("reason")))
    return cells
