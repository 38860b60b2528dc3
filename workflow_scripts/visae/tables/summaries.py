"""Summaries of a sweep by backbone: what the profiles, rankings and comparisons are drawn from."""

import statistics
from typing import NamedTuple

from visae.base.equal import settled_by_name
from visae.evals.shelf import metrics
from visae.tables.layout import Column, Table
from visae.tables.scores import headlines


class Summary(NamedTuple):
    """Values over SAEs."""

    mean: float | None
    std: float | None
    """Sample standard deviation; None below two known values."""
    saes: int
    """How many have a value."""
    missing: int
    """How many have none."""


def summarised(values):
    """The Summary of some values, of which those that are None count as missing."""
    values = list(values)
    known = [value for value in values if value is not None]
    return Summary(
        statistics.fmean(known) if known else None,
        statistics.stdev(known) if len(known) > 1 else None,
        len(known),
        len(values) - len(known),
    )


def backbone_means(rows, sweep):
    """Every metric's headline averaged over a backbone's configurations, ranked and normalised.

    One row per metric and backbone: `mean`, sample standard deviation, how many SAEs have a
    value and how many do not, `rank` (1 = best) and `normalised` (0 for the worst backbone, 1
    for the best; None where all are equal). Ties share the better rank.
    """
    lines = []
    for metric in metrics():
        scores = headlines(rows, metric, sweep)
        of_metric = [
            _mean_line(metric, backbone, [s for s in scores if s["backbone"] == backbone])
            for backbone in sorted({score["backbone"] for score in scores})
        ]
        lines += _ranked(of_metric)
    return Table(
        f"Means over configurations, sweep {sweep}",
        (
            Column("metric", "Metric"),
            Column("backbone", "Backbone"),
            Column("mean", "mean", digits=4),
            Column("std", "std", digits=4),
            Column("saes", "SAEs"),
            Column("missing", "missing"),
            Column("higher_is_better", "higher is better"),
            Column("rank", "rank"),
            Column("normalised", "normalised", digits=3),
        ),
        lines,
        ("std: sample standard deviation over configurations. rank: 1 is best.",),
    )


def _mean_line(metric, backbone, scores):
    return {
        "metric": metric,
        "backbone": backbone,
        **summarised(score["value"] for score in scores)._asdict(),
        "higher_is_better": scores[0]["higher_is_better"],
    }


def _ranked(lines):
    """`lines` of one metric with `rank` and `normalised` added."""
    merits = {
        line["backbone"]: line["mean"] if line["higher_is_better"] else -line["mean"]
        for line in lines
        if line["mean"] is not None
    }
    merits = settled_by_name(merits)
    worst, best = min(merits.values(), default=0.0), max(merits.values(), default=0.0)
    for line in lines:
        line["rank"] = line["normalised"] = None
        if (merit := merits.get(line["backbone"])) is not None:
            line["rank"] = 1 + sum(other > merit for other in merits.values())
            line["normalised"] = (merit - worst) / (best - worst) if best > worst else None
    return lines


def layer_comparison(rows, early, late):
    """Means of two sweeps that differ in layer, over the configurations that both have.

    One row per metric and backbone of the sweep `early`: `early`, `late` (means), `pairs` (SAEs
    with a value in both) and `missing` (pairs that lack one).
    """
    lines = []
    for metric in metrics():
        late_values = {_identity(row): row["value"] for row in headlines(rows, metric, late)}
        early_scores = headlines(rows, metric, early)
        for backbone in sorted({score["backbone"] for score in early_scores}):
            pairs = [
                (score["value"], late_values[_identity(score)])
                for score in early_scores
                if score["backbone"] == backbone and _identity(score) in late_values
            ]
            known = [pair for pair in pairs if None not in pair]
            means = [statistics.fmean(side) for side in zip(*known, strict=True)] or [None, None]
            lines.append(
                {
                    "metric": metric,
                    "backbone": backbone,
                    "early": means[0],
                    "late": means[1],
                    "pairs": len(known),
                    "missing": len(pairs) - len(known),
                }
            )
    return Table(
        f"Layers compared: sweep {early} against sweep {late}",
        (
            Column("metric", "Metric"),
            Column("backbone", "Backbone"),
            Column("early", "early", digits=4),
            Column("late", "late", digits=4),
            Column("pairs", "pairs"),
            Column("missing", "missing"),
        ),
        lines,
    )


def _identity(score):
    return score["backbone"], score["sae"]


def paired_scores(rows, sweep, first, second):
    """Two metrics of each SAE side by side, as rows, with None where a score has no value."""
    values = {_identity(row): row["value"] for row in headlines(rows, second, sweep)}
    return [
        {
            "backbone": row["backbone"],
            "sae": row["sae"],
            "expansion_factor": row["expansion_factor"],
            "sparsity": row["sparsity"],
            first: row["value"],
            second: values.get(_identity(row)),
        }
        for row in headlines(rows, first, sweep)
    ]
