"""Do two metrics rank the backbones alike? Spearman's ρ for every pair of metrics (section 5)."""

import itertools
import statistics as basic

from visae.evals.shelf import metrics
from visae.tables.layout import Column, Table
from visae.tables.scores import headlines, low_is_good
from visae.tables.statistics import spearman
from visae.tables.summaries import paired_scores


def metric_agreement(rows, sweep):
    """One row per pair of metrics: ρ over the backbones' means, with both p-values.

    `rows` are those of `scores_table`. Metrics on which the sweep is not scored are left out.
    """
    scored = [metric for metric in metrics() if headlines(rows, metric, sweep)]
    lines = [
        agreement(paired_scores(rows, sweep, first, second), first, second)
        for first, second in itertools.combinations(scored, 2)
    ]
    return Table(
        f"Agreement of the metrics, sweep {sweep}",
        (
            Column("first", "Metric"),
            Column("second", "Other metric"),
            Column("rho", "ρ", digits=2),
            Column("p_t", "p (t)", digits=3),
            Column("p_exact", "p (exact)", digits=3),
            Column("n", "n"),
            Column("saes", "SAEs"),
            Column("missing", "missing"),
            Column("reason", "reason"),
        ),
        lines,
        (
            "ρ: Spearman's, over the backbones' means as they are. Low values are good of "
            f"{low_is_good(scored)}: with another metric, agreement is a negative ρ. n: backbones.",
        ),
    )


def agreement(pairs, first, second):
    """The row of two metrics; `pairs` are those of `summaries.paired_scores`.

    A backbone's means are over its SAEs that have a value of both metrics: `saes` counts these
    over all backbones, `missing` the others.
    """
    known = [row for row in pairs if row[first] is not None and row[second] is not None]
    backbones = dict.fromkeys(row["backbone"] for row in known)
    sides = [
        [basic.fmean(row[key] for row in known if row["backbone"] == b) for b in backbones]
        for key in (first, second)
    ]
    result = spearman(*sides)
    return {
        "first": first,
        "second": second,
        **{key: getattr(result, key) for key in ("rho", "p_t", "p_exact", "n", "reason")},
        "saes": len(known),
        "missing": len(pairs) - len(known),
    }
