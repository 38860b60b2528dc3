"""The numbers that the paper prints, and those of its authors' runs on record.

Both are in `resources/published_values.csv`, told apart by the column `source`.

Keys are paths: `table_3/localization/eta2_backbone`, `table_9/fvu/batchtopk/clip` (a rank),
`text/spearman/localization/segmentation`. Each has its value, its unit and its place in the
paper; where the paper contradicts itself, both values are there and the note says so.
"""

import csv
from typing import NamedTuple

from visae.base.errors import UserError


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
    with open(path, newline="", encoding="utf-8") as handle:
        for line, row in enumerate(csv.DictReader(handle), start=2):
            key = row.pop("key")
            if key in values:
                raise UserError(f"{path}, line {line}: the key '{key}' occurs twice; rename one.")
            if row["source"] not in (PAPER, RECORDED):
                raise UserError(
                    f"{path}, line {line}: the source '{row['source']}' is neither '{PAPER}' nor "
                    f"'{RECORDED}'; correct it."
                )
            values[key] = Published(float(row.pop("value")), **row)
    return values
