"""The numbers that the paper prints, and those of its authors' runs on record.

Both are in `resources/published_values.csv`, told apart by the column `source`.

Keys are paths: `table_3/localization/eta2_backbone`, `table_9/fvu/batchtopk/clip` (a rank),
`text/spearman/localization/segmentation`. Each has its value, its unit and its place in the
paper; where the paper contradicts itself, both values are there and the note says so.
"""

from typing import NamedTuple

from visae.base.errors import UserError
from visae.base.reading import as_number, as_text, in_row, read_csv


class Published(NamedTuple):
    """One printed number."""

    value: float
    unit: str
    source: str
    place: str
    note: str


PAPER, RECORDED = "paper", "recorded run"
"""Sources. Recorded: in outputs kept in the public code of the paper (docs/as_run.md)."""


def read_published(path):
    """All values that the paper prints, by key; a key that occurs twice is refused."""
    return {key: entry for key, entry in _read(path).items() if entry.source == PAPER}


def read_recorded(path):
    """All values of recorded runs, by key: `recorded/{backbone}/{sae}/{metric}/{reading}`."""
    return {key: entry for key, entry in _read(path).items() if entry.source == RECORDED}


def _read(path):
    values = {}
    for line, row in read_csv(path, [("key", *Published._fields)], "correct it"):
        with in_row(path, line, "correct it"):
            key, value = as_text(row.pop("key")), as_number(row.pop("value"))
        if key in values:
            raise UserError(f"{path}, line {line}: the key '{key}' occurs twice; rename one.")
        if row["source"] not in (PAPER, RECORDED):
            raise UserError(
                f"{path}, line {line}: the source '{row['source']}' is neither '{PAPER}' nor "
                f"'{RECORDED}'; correct it."
            )
        values[key] = Published(value, **row)
    return values


def printed_decimals(path):
    """Decimals that each value is printed with, by key."""
    rows = read_csv(path, [("key", *Published._fields)], "correct it")
    return {row.cells["key"]: len(row.cells["value"].partition(".")[2]) for row in rows}
