"""Downstream tasks: the tidy table, Table 6, and what codes gain over raw features."""

import csv

from visae.evals.task_results import (
    CLASSIFICATION,
    REPRESENTATIONS,
    RETRIEVAL,
    SEGMENTATION,
    read_result,
)
from visae.tables.layout import Column, Table, read_sparsity
from visae.tables.scores import HEADLINE
from visae.tables.summaries import summarised

_COLUMNS = (
    Column("backbone", "Backbone"),
    Column("layer", "Layer"),
    Column("sae", "SAE"),
    Column("sweep", "Sweep"),
    Column("family", "Family"),
    Column("expansion_factor", "Expansion"),
    Column("k", "K"),
    Column("task", "Task"),
    Column("representation", "Representation"),
    Column("reading", "Reading"),
    Column("value", "Value", digits=4),
    Column("reason", "Reason"),
    Column("definition", "Definition"),
)


# ---------------------------------------------------------------- the tidy table


def downstream_table(result_files):
    """The tidy table of downstream documents: one row per source, representation and reading.

    `sae` is "raw" for a backbone's own features (`sweep`, `family` … are then None).
    """
    rows = [row for path in result_files for row in _rows(read_result(path))]
    rows.sort(
        key=lambda row: (
            row["backbone"],
            row["layer"],
            row["sae"] != "raw",
            row["sae"],
            row["task"],
            REPRESENTATIONS.index(row["representation"]),
            row["reading"] != HEADLINE,
            row["reading"],
        )
    )
    return Table("Downstream tasks", _COLUMNS, rows)


def _rows(document):
    source = document["source"]
    about = {
        **{key: source[key] for key in ("backbone", "layer", "sweep", "family", "k")},
        "sae": source["name"],
        "expansion_factor": source["expansion_factor"],
        "task": document["task"],
    }
    for name, outcome in document["representations"].items():
        readings = {HEADLINE: outcome["value"], **outcome["readings"]}
        for reading, value in readings.items():
            headline = reading == HEADLINE
            yield {
                **about,
                "representation": name,
                "reading": reading,
                "value": None if value is None else float(value),
                "reason": outcome["reason"] if headline else None,
                "definition": document["definition"] if headline else reading,
            }


def read_downstream(path):
    """The rows of a written `downstream_table`, equal to those that were written."""
    with open(path, newline="", encoding="utf-8") as handle:
        return [_typed(row) for row in csv.DictReader(handle)]


def _typed(row):
    row = {key: text if text else None for key, text in row.items()}
    readers = {"expansion_factor": int, "k": read_sparsity}
    number = {
        key: None if row[key] is None else reader(row[key]) for key, reader in readers.items()
    }
    value = None if row["value"] is None else float(row["value"])
    return {**row, **number, "layer": int(row["layer"]), "value": value}


def _values(rows, sweep):
    """(task, backbone, representation) → {SAE: headline} of a sweep, and of its layers' raw."""
    layers = {(row["backbone"], row["layer"]) for row in rows if row["sweep"] == sweep}
    found = {}
    for row in rows:
        place = row["backbone"], row["layer"]
        raw = row["representation"] == "raw" and place in layers
        if row["reading"] == HEADLINE and (raw or row["sweep"] == sweep):
            key = row["task"], row["backbone"], row["representation"]
            found.setdefault(key, {})[row["sae"]] = row["value"]
    return found


def _raw(values, task, backbone):
    return values.get((task, backbone, "raw"), {}).get("raw")


def _tasks(values):
    """The tasks in the order retrieval, segmentation, classification by name."""
    order = {RETRIEVAL: 0, SEGMENTATION: 1}
    return sorted({task for task, *_ in values}, key=lambda task: (order.get(task, 2), task))


def _backbones(values):
    return sorted({backbone for _, backbone, _ in values})


# ---------------------------------------------------------------- Table 6 and what codes gain


def table_6(rows, sweep):
    """Accuracy of raw features and of reconstructions, and their ratio, per data set.

    rows: those of `downstream_table`. Means and sample standard deviations are over the SAEs of
    `sweep`; the ratio (preservation) is taken for each SAE before it is averaged.
    """
    values = _values(rows, sweep)
    tasks = [task for task in _tasks(values) if task.startswith(CLASSIFICATION)]
    lines = [
        {
            "backbone": backbone,
            "dataset": task.removeprefix(CLASSIFICATION),
            **_against_raw(values, task, backbone, "reconstructed", "recon", "preservation"),
        }
        for backbone in _backbones(values)
        for task in tasks
    ]
    return Table(
        f"Table 6: accuracy on other data sets, sweep {sweep}",
        (
            Column("backbone", "Backbone"),
            Column("dataset", "Data set"),
            *_columns_against_raw("recon", "reconstructed", "preservation"),
        ),
        lines,
        ("std: sample standard deviation over SAEs. preservation: reconstructed / raw.",),
    )


def codes_lift(rows, sweep):
    """What all codes of an SAE achieve, relative to raw features (Appendix O).

    One row per task and backbone: `raw`, mean and sample standard deviation over SAEs of the
    codes' value and of the lift (codes / raw, for each SAE).
    """
    values = _values(rows, sweep)
    lines = [
        {
            "task": task,
            "backbone": backbone,
            **_against_raw(values, task, backbone, "codes", "codes", "lift"),
        }
        for task in _tasks(values)
        for backbone in _backbones(values)
    ]
    return Table(
        f"Codes lift, sweep {sweep}",
        (
            Column("task", "Task"),
            Column("backbone", "Backbone"),
            *_columns_against_raw("codes", "codes", "lift"),
        ),
        lines,
        ("lift: value of all codes / value of raw features. std: sample, over SAEs.",),
    )


def _against_raw(values, task, backbone, representation, name, ratio):
    """The part of a line that `_columns_against_raw` shows; see there."""
    raw = _raw(values, task, backbone)
    own = list(values.get((task, backbone, representation), {}).values())
    of_saes = summarised(own)
    of_raw = summarised([value / raw for value in own if value is not None] if raw else [])
    return {
        "raw": raw,
        f"{name}_mean": of_saes.mean,
        f"{name}_std": of_saes.std,
        f"{ratio}_mean": of_raw.mean,
        f"{ratio}_std": of_raw.std,
        "saes": of_saes.saes,
        "missing": of_saes.missing,
    }


def _columns_against_raw(name, heading, ratio):
    """The value of raw features, that of a representation over SAEs, and their ratio."""
    return (
        Column("raw", "raw", digits=3),
        Column(f"{name}_mean", heading, digits=3),
        Column(f"{name}_std", "± std", digits=3),
        Column(f"{ratio}_mean", ratio, digits=3),
        Column(f"{ratio}_std", "± std", digits=3),
        Column("saes", "SAEs"),
        Column("missing", "missing"),
    )


def task_values(rows, sweep):
    """Task → {backbone: headline of its raw features}; rows of `downstream_table`."""
    values = _values(rows, sweep)
    return {
        task: {backbone: _raw(values, task, backbone) for backbone in _backbones(values)}
        for task in _tasks(values)
    }


def codes_values(rows, sweep):
    """Task → {backbone: mean over the SAEs of `sweep` of what all codes achieve}."""
    values = {}
    for line in codes_lift(rows, sweep).rows:
        values.setdefault(line["task"], {})[line["backbone"]] = line["codes_mean"]
    return values
