"""The tidy table of all scores, `tables/scores.csv`: one row per SAE and reading.

Every table and figure of the paper starts from these rows and from nothing else, so that what
is printed can be traced to one line of one file.
"""

import csv
import os
from pathlib import Path

from visae.base.errors import UserError
from visae.base.files import read_json
from visae.evals.provenance import common_origin
from visae.tables.layout import Column, Table, read_sparsity

HEADLINE = "headline"

METRIC_LABELS = {
    "localization": "M1 Localization",
    "fvu": "M2 FVU",
    "preservation": "M3 Preservation",
    "sparse_probing": "M4 Sparse probing",
    "monosemanticity": "M5 Monosemanticity",
    "cross_domain": "M6 Cross-domain",
    "absorption": "M7 Absorption",
}
"""The metrics in the paper's order, as tables and figures name them."""

_COLUMNS = (
    Column("backbone", "Backbone"),
    Column("layer", "Layer"),
    Column("sae", "SAE"),
    Column("sweep", "Sweep"),
    Column("family", "Family"),
    Column("expansion_factor", "Expansion"),
    Column("k", "K"),
    Column("metric", "Metric"),
    Column("reading", "Reading"),
    Column("value", "Value", digits=4),
    Column("reason", "Reason"),
    Column("definition", "Definition"),
    Column("higher_is_better", "Higher is better"),
)


def scores_table(score_files):
    """The tidy table of score files (`docs/formats.md`), in an order of its own.

    `reading` is "headline" for a score's own value and the reading's name for the others. A
    reading may be a count or a spread, so only headlines say whether higher is better; `reason`
    is given where the headline is null.
    """
    return _in_order([row for path in score_files for row in _rows(path)])


def joined(tables):
    """The tidy table of all rows of some `tables/scores/{sweep}.csv`, in the same order."""
    return _in_order(read_scores(tables))


def _in_order(rows):
    metrics = list(METRIC_LABELS)
    rows.sort(
        key=lambda row: (
            row["backbone"],
            row["layer"],
            row["family"],
            row["expansion_factor"],
            row["k"],
            row["sae"],
            metrics.index(row["metric"]),
            row["reading"] != HEADLINE,
            row["reading"],
        )
    )
    return Table("Scores", _COLUMNS, rows)


def _rows(path):
    score = read_json(path)
    if score["metric"] not in METRIC_LABELS:
        known = ", ".join(METRIC_LABELS)
        raise UserError(
            f"{path} holds the metric '{score['metric']}', which no table knows; "
            f"known are {known} (add it to METRIC_LABELS)."
        )
    sae = score["sae"]
    about = {
        **{key: sae[key] for key in ("backbone", "layer", "sweep", "family")},
        "sae": sae["name"],
        "expansion_factor": sae["expansion_factor"],
        "k": sae["k"],
        "metric": score["metric"],
    }
    yield {
        **about,
        "reading": HEADLINE,
        "value": _number(score["value"]),
        "reason": score.get("reason"),
        "definition": score["definition"],
        "higher_is_better": score["higher_is_better"],
    }
    for reading, value in score["readings"].items():
        yield {
            **about,
            "reading": reading,
            "value": _number(value),
            "reason": None,
            "definition": reading,
            "higher_is_better": None,
        }


def read_scores(paths):
    """The rows of a `tables/scores.csv`, or of several sweeps' tables, equal to what was written.

    Raises UserError where the scores of the sweeps cannot be compared (`common_origin`).
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if len(paths) > 1:
        origin_of_sweeps(paths)
    rows = []
    for path in paths:
        with open(path, newline="", encoding="utf-8") as handle:
            rows += [_typed(row) for row in csv.DictReader(handle)]
    return rows


def origin_of_sweeps(tables):
    """What the scores of some `tables/scores/{sweep}.csv` have in common, from beside them."""
    return common_origin(
        {
            f"the sweep {Path(path).stem}": read_json(Path(path).with_suffix(".origin.json"))
            for path in tables
        }
    )


def headlines(rows, metric, sweep, without=()):
    """The headline rows of one metric in one sweep, but for the backbones in `without`."""
    return [
        row
        for row in rows
        if row["metric"] == metric
        and row["sweep"] == sweep
        and row["reading"] == HEADLINE
        and row["backbone"] not in without
    ]


def _typed(row):
    row = {key: text if text else None for key, text in row.items()}
    flag = row["higher_is_better"]
    return {
        **row,
        "layer": int(row["layer"]),
        "expansion_factor": int(row["expansion_factor"]),
        "k": read_sparsity(row["k"]),
        "value": _number(row["value"]),
        "higher_is_better": None if flag is None else flag == "true",
    }


def _number(value):
    return None if value is None else float(value)
