"""Downstream tasks: the tidy table, Table 6, and what codes gain over raw features."""

from visae.evals.shelf import dataset_of, entry_name, tasks
from visae.tables import tidy
from visae.tables.layout import Column, Table
from visae.tables.summaries import summarised
from visae.tables.tidy import HEADLINE

CLASSIFICATION = "classification"


def downstream_table(result_files):
    """The tidy table of downstream results."""
    return tidy.downstream_table(tidy.rows_of(result_files))


def read_downstream(path):
    """The rows of a written `downstream_table`, equal to those that were written."""
    return tidy.read_rows(path)


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
    """The tasks in the order of the shelf, those of one entry by name."""
    order = tasks()
    return sorted(
        {task for task, *_ in values}, key=lambda task: (order.index(entry_name(task)), task)
    )


def _backbones(values):
    return sorted({backbone for _, backbone, _ in values})


# ---------------------------------------------------------------- Table 6 and what codes gain


def table_6(rows, sweep):
    """Accuracy of raw features and of reconstructions, and their ratio, per data set.

    rows: those of `downstream_table`. Means and sample standard deviations are over the SAEs of
    `sweep`; the ratio (preservation) is taken for each SAE before it is averaged.
    """
    values = _values(rows, sweep)
    classified = [task for task in _tasks(values) if entry_name(task) == CLASSIFICATION]
    lines = [
        {
            "backbone": backbone,
            "dataset": dataset_of(task),
            **_against_raw(values, task, backbone, "reconstructed", "recon", "preservation"),
        }
        for backbone in _backbones(values)
        for task in classified
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
