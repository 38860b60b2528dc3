"""Metrics against downstream tasks: Tables 6 and 8, the correlation table, hypotheses H1–H4.

Everything starts from two tidy tables: `downstream_table` (from the downstream documents) and
`scores_table` (from the scores). Correlations are over backbones: each metric is averaged over
the SAEs of one sweep, and held against what the backbone's raw features achieve, which is what
the correlations printed in the paper rebuild from.
"""

import csv
from typing import NamedTuple

from visae import statistics
from visae.downstream.results import (
    CLASSIFICATION,
    REPRESENTATIONS,
    RETRIEVAL,
    SEGMENTATION,
    read_result,
)
from visae.tables.layout import Column, Table
from visae.tables.scores import HEADLINE
from visae.tables.summaries import backbone_means, summarised

LOWER_IS_BETTER = ("fvu", "absorption")
"""Metrics whose low values are good (the scores say so too)."""

_ROUNDING = 1e-9
"""Of ρ, so that an exact 0.6 reaches a threshold of 0.6."""

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


_CORRELATION_COLUMNS = (
    Column("rho", "ρ", digits=2),
    Column("p_t", "p (t)", digits=3),
    Column("p_exact", "p (exact)", digits=3),
    Column("n", "n"),
)
_P_NOTE = (
    "p (t): Student's t approximation, which is what the paper prints; p (exact): all orders of "
    "the backbones counted. n: backbones."
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
    number = {key: None if row[key] is None else int(row[key]) for key in ("expansion_factor", "k")}
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


# ---------------------------------------------------------------- Tables 6 and 8


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


def table_8(lifts):
    """Do backbones with weaker raw features gain more? `lifts`: the rows of `codes_lift`.

    One row per task with any lift: Spearman's ρ over backbones of raw value against mean lift,
    and the backbones with the smallest and the largest lift.
    """
    lines = []
    for task in dict.fromkeys(line["task"] for line in lifts):
        of_task = [line for line in lifts if line["task"] == task]
        known = [line for line in of_task if line["lift_mean"] is not None]
        if not known:
            continue
        result = statistics.spearman(
            [line["raw"] for line in of_task], [line["lift_mean"] for line in of_task]
        )
        low, high = (choose(known, key=lambda line: line["lift_mean"]) for choose in (min, max))
        lines.append(
            {
                "task": task,
                **_correlation(result),
                "lowest_lift": low["lift_mean"],
                "lowest": low["backbone"],
                "highest_lift": high["lift_mean"],
                "highest": high["backbone"],
                "reason": result.reason,
            }
        )
    return Table(
        "Table 8: raw performance against codes lift",
        (
            Column("task", "Task"),
            *_CORRELATION_COLUMNS,
            Column("lowest_lift", "lowest lift", digits=2),
            Column("lowest", "of"),
            Column("highest_lift", "highest lift", digits=2),
            Column("highest", "of"),
            Column("reason", "reason"),
        ),
        lines,
        ("Negative ρ: the weaker a backbone's raw features, the more its codes gain.", _P_NOTE),
    )


# ---------------------------------------------------------------- metrics against tasks


def metric_values(score_rows, sweep):
    """Metric → {backbone: mean of the headline over the SAEs of `sweep`}; `scores_table` rows."""
    values = {}
    for line in backbone_means(score_rows, sweep).rows:
        values.setdefault(line["metric"], {})[line["backbone"]] = line["mean"]
    return values


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


def transfer_values(score_rows, sweep):
    """Sparse probing on M6's data sets: `sparse_probing_{data set}` → {backbone: mean AUC}.

    This is what section 4.5 states as the target of H4: one-vs-rest ROC-AUC of 128 codes.
    """
    prefix, infix = "sparse_probing_", "_auc_codes_at_"
    collected = {}
    for row in score_rows:
        dataset, found, _ = row["reading"].partition(infix)
        if row["metric"] == "cross_domain" and row["sweep"] == sweep and found:
            of_task = collected.setdefault(prefix + dataset, {})
            of_task.setdefault(row["backbone"], []).append(row["value"])
    return {
        task: {backbone: summarised(values).mean for backbone, values in of_task.items()}
        for task, of_task in collected.items()
    }


def correlations(score_rows, rows, sweep):
    """The `correlation_table` of a run; rows of `scores_table` and of `downstream_table`."""
    return correlation_table(metric_values(score_rows, sweep), task_values(rows, sweep))


def correlation_table(metrics, tasks):
    """Spearman's ρ over backbones of every metric with every task.

    metrics, tasks: name → {backbone: value or None}. Values are correlated as they are, so that
    for a metric where lower is better a negative ρ is the good one; `direction` says so.
    """
    lines = [
        {
            "metric": metric,
            "task": task,
            **_correlation(result := _spearman(by_backbone, of_task)),
            "direction": _direction(metric),
            "reason": result.reason,
        }
        for metric, by_backbone in metrics.items()
        for task, of_task in tasks.items()
    ]
    return Table(
        "Metrics against downstream tasks",
        (
            Column("metric", "Metric"),
            Column("task", "Task"),
            *_CORRELATION_COLUMNS,
            Column("direction", "direction"),
            Column("reason", "reason"),
        ),
        lines,
        (
            "Metrics: mean over the SAEs of a backbone. Tasks: raw features of the backbone. "
            "Nothing is sign-corrected: FVU and absorption are lower-is-better, so that a negative "
            "ρ means that the better backbone by the metric is the better one at the task.",
            _P_NOTE,
        ),
    )


def _direction(metric):
    if metric in LOWER_IS_BETTER:
        return "lower is better: a negative ρ predicts the task"
    return "higher is better: a positive ρ predicts the task"


class Hypothesis(NamedTuple):
    """One of the hypotheses that the paper fixed in advance (section 4.5)."""

    name: str
    metric: str
    task: str
    threshold: float
    reading: str
    """What the task's number is."""


HYPOTHESES = (
    Hypothesis("H1", "localization", SEGMENTATION, 0.7, "raw features"),
    Hypothesis("H2", "monosemanticity", f"{CLASSIFICATION}cub", 0.6, "raw features"),
    Hypothesis("H3", "preservation", RETRIEVAL, 0.6, "raw features"),
    Hypothesis("H4", "sparse_probing", "sparse_probing_inaturalist", 0.7, "AUC of 128 codes"),
    Hypothesis("H4 on CUB", "sparse_probing", "sparse_probing_cub", 0.7, "AUC of 128 codes"),
    Hypothesis("H4 on DTD", "sparse_probing", "sparse_probing_dtd", 0.7, "AUC of 128 codes"),
    Hypothesis("H4 (raw)", "sparse_probing", f"{CLASSIFICATION}inaturalist", 0.7, "raw features"),
    Hypothesis("H4 on CUB (raw)", "sparse_probing", f"{CLASSIFICATION}cub", 0.7, "raw features"),
    Hypothesis("H4 on DTD (raw)", "sparse_probing", f"{CLASSIFICATION}dtd", 0.7, "raw features"),
)
"""H4 is stated for sparse probing on the other data sets, but the printed ρ rebuild from the raw
accuracies there: both readings."""


def hypotheses(datasets):
    """`HYPOTHESES` with a run's names of the data sets; datasets: the paper's name → the run's."""

    def renamed(task):
        start, _, dataset = task.rpartition("_")
        return f"{start}_{datasets[dataset]}" if dataset in datasets else task

    return [hypothesis._replace(task=renamed(hypothesis.task)) for hypothesis in HYPOTHESES]


def registered_cells(datasets):
    """(metric, task) → H1 to H4: the cells of the correlation table fixed in advance."""
    return {
        (hypothesis.metric, hypothesis.task): hypothesis.name.removesuffix(" (raw)")
        for hypothesis in hypotheses(datasets)
        if " on " not in hypothesis.name
    }


def hypotheses_table(metrics, tasks, datasets=None):
    """The verdict on H1 to H4: confirmed if ρ ≥ the threshold (all four expect ρ > 0).

    metrics: from `metric_values`. tasks: `task_values` and `transfer_values` together. datasets:
    as for `hypotheses`, where the names are not the paper's.
    """
    lines = []
    for hypothesis in hypotheses(datasets or {}):
        by_backbone, of_task = metrics.get(hypothesis.metric), tasks.get(hypothesis.task)
        line = {**hypothesis._asdict(), "verdict": "not computable"}
        if by_backbone and of_task:
            result = _spearman(by_backbone, of_task)
            line |= {**_correlation(result), "reason": result.reason}
            if result.rho is not None:
                reached = result.rho >= hypothesis.threshold - _ROUNDING
                line["verdict"] = "confirmed" if reached else "not confirmed"
        else:
            lacking = hypothesis.task if by_backbone else hypothesis.metric
            line |= dict.fromkeys(("rho", "p_t", "p_exact"))
            line |= {"n": 0, "reason": f"no values of {lacking}"}
        lines.append(line)
    return Table(
        "Hypotheses H1 to H4",
        (
            Column("name", "Hypothesis"),
            Column("metric", "Metric"),
            Column("task", "Task"),
            Column("reading", "Reading"),
            *_CORRELATION_COLUMNS,
            Column("threshold", "threshold ≥", digits=1),
            Column("verdict", "verdict"),
            Column("reason", "reason"),
        ),
        lines,
        (
            "Verdict: ρ against the threshold fixed in advance, whatever p. All four metrics are "
            "higher-is-better, so that a positive ρ predicts the task.",
            _P_NOTE,
        ),
    )


def _spearman(first, second):
    """Over the backbones that either knows, in order of name."""
    backbones = sorted({*first, *second})
    return statistics.spearman(
        [first.get(backbone) for backbone in backbones],
        [second.get(backbone) for backbone in backbones],
    )


def _correlation(result):
    return {"rho": result.rho, "p_t": result.p_t, "p_exact": result.p_exact, "n": result.n}
