"""The numbers that the paper prints, from `resources/published_values.csv`.

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
    place: str
    note: str


def read_published(path):
    """All published values by key; a key that occurs twice is refused."""
    values = {}
    with open(path, newline="", encoding="utf-8") as handle:
        for line, row in enumerate(csv.DictReader(handle), start=2):
            key = row.pop("key")
            if key in values:
                raise UserError(f"{path}, line {line}: the key '{key}' occurs twice; rename one.")
            values[key] = Published(float(row.pop("value")), **row)
    return values


def rank_order(published, metric, family):
    """The backbones from best to worst in Table 9's ranking of `metric` under `family`."""
    prefix = f"table_9/{metric}/{family}/"
    ranks = {
        key.removeprefix(prefix): entry.value
        for key, entry in published.items()
        if key.startswith(prefix)
    }
    return sorted(ranks, key=ranks.__getitem__)
