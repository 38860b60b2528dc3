"""The tidy tables of all results: one row per source of features and reading.

`tables/scores.csv` has the metrics, `tables/downstream.csv` the downstream tasks. Every table and
figure starts from these rows and from nothing else, so that what is printed can be traced to one
line of one file. `sparsity` is K, a target L0 or a coefficient, `k` how many features per token are
meant to be active, where the family has such a number.
"""

import os

from visae.base.paths import RAW
from visae.base.reading import as_number, as_text, as_whole, in_row, parse_csv
from visae.base.seals import read_text_beside
from visae.evals.results import REPRESENTATIONS, name_of, read_result, results_of
from visae.evals.shelf import metrics
from visae.tables.layout import FORMAT, Column, Table, read_sparsity

HEADLINE = "headline"

_SOURCE = (
    Column("backbone", "Backbone"),
    Column("layer", "Layer"),
    Column("sae", "SAE"),
    Column("sweep", "Sweep"),
    Column("family", "Family"),
    Column("expansion_factor", "Expansion"),
    Column("sparsity", "Sparsity"),
    Column("k", "K"),
)
_READING = (
    Column("reading", "Reading"),
    Column("value", "Value", digits=4),
    Column("reason", "Reason"),
    Column("definition", "Definition"),
)
_WARNINGS = Column("warnings", "Warnings")
_OF_METRICS = (
    *_SOURCE,
    Column("metric", "Metric"),
    *_READING,
    Column("higher_is_better", "Higher is better"),
    _WARNINGS,
)
_OF_TASKS = (
    *_SOURCE,
    Column("task", "Task"),
    Column("representation", "Representation"),
    *_READING,
    _WARNINGS,
)


def scores_table(rows):
    """The tidy table of metrics, in an order of its own."""
    number = {metric: i for i, metric in enumerate(metrics())}

    def order(row):
        unknown = row["sparsity"] is None
        sae = [row["family"], row["expansion_factor"], unknown, row["sparsity"] or 0, row["sae"]]
        return row["backbone"], row["layer"], *sae, number[row["metric"]], *_of_reading(row)

    return Table("Scores", _OF_METRICS, sorted(rows, key=order))


def downstream_table(rows):
    """The tidy table of downstream tasks; `sae` is `raw` for a backbone's own features."""

    def order(row):
        sae = row["sae"] != RAW, row["sae"]
        representation = REPRESENTATIONS.index(row["representation"])
        place = row["backbone"], row["layer"]
        return *place, *sae, row["task"], representation, *_of_reading(row)

    return Table("Downstream tasks", _OF_TASKS, sorted(rows, key=order))


def rows_of(paths):
    """The rows of results, files as in docs/formats.md.

    `reading` is "headline" for a value itself, and the reading's name for the others. A reading
    may be a count or a spread, so only headlines say whether higher is better; `reason` is given
    where the headline is null, and `warnings` where something speaks against the SAE.
    """
    return [row for path in paths for row in _rows(read_result(path))]


def absent_rows(sources, absent):
    """The rows of metrics that are not computed: null, with the reason.

    sources: SAEs as `visae.evals.results.described` has them. absent: from
    `visae.evals.shelf.null_results`.
    """
    return [
        row
        for source in sources
        for result in absent.values()
        for row in _rows(result | {"sae": source})
    ]


def _rows(document):
    kind = "metric" if "metric" in document else "task"
    source = document["sae" if kind == "metric" else "source"]
    about = {column.key: source[column.key] for column in _SOURCE if column.key != "sae"}
    about |= {"sae": source["name"], kind: name_of(document)}
    for representation, result in results_of(document).items():
        for reading, value in {HEADLINE: result["value"], **result["readings"]}.items():
            headline = reading == HEADLINE
            row = about | {
                "representation": representation,
                "reading": reading,
                "value": None if value is None else float(value),
                "reason": result["reason"] if headline else None,
                "definition": document["definition"] if headline else reading,
                "higher_is_better": document["higher_is_better"] if headline else None,
                "warnings": "; ".join(source["warnings"]) or None if headline else None,
            }
            shown = _OF_METRICS if kind == "metric" else _OF_TASKS
            yield {column.key: row[column.key] for column in shown}


def read_rows(paths):
    """The rows of one or of several tidy tables, equal to what was written.

    Raises UserError for a file that is no such table, or a cell that its column does not allow.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return [row for path in paths for row in _read(path)]


def _read(path):
    headers = [[column.key for column in columns] for columns in (_OF_METRICS, _OF_TASKS)]
    for line, cells in parse_csv(read_text_beside(path, FORMAT), path, headers):
        with in_row(path, line):
            yield {key: _KINDS.get(key, _text_or_gap)(cell) for key, cell in cells.items()}


def _or_gap(kind):
    """A function of a cell: None if it is empty, else what `kind` makes of it."""
    return lambda cell: kind(cell) if cell else None


def _truth(cell):
    return {"true": True, "false": False}[cell]


_text_or_gap = _or_gap(as_text)
_KINDS = {
    **dict.fromkeys(("backbone", "sae", "metric", "task", "reading", "definition"), as_text),
    "layer": as_whole,
    **dict.fromkeys(("expansion_factor", "sparsity", "k"), _or_gap(read_sparsity)),
    "value": _or_gap(as_number),
    "higher_is_better": _or_gap(_truth),
}
"""By column, what a cell has to be; others are texts or empty."""


def _of_reading(row):
    return row["reading"] != HEADLINE, row["reading"]
