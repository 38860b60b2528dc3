"""Which metric foresees which task, and so which backbone to take (Appendices J and P)."""

from visae.base import equal
from visae.evals.shelf import lower_is_better
from visae.tables.layout import Column, Table

_SUPPORT = ("metric", "rho", "p_exact", "n")


def turned(correlations):
    """The rows of `correlations.correlation_table` with ρ turned for lower-is-better metrics.

    Then ρ > 0 means of every metric: the better a backbone by it, the better at the task.
    """
    return [
        row | {"rho": -row["rho"]}
        if lower_is_better(row["metric"]) and row["rho"] is not None
        else row
        for row in correlations
    ]


def registered_cells(hypotheses):
    """(metric, task) → H1 to H4: the cells of the correlation table fixed in advance (section 4.5).

    `hypotheses` are the rows of `correlations.hypotheses_table`.
    """
    return {
        (row["metric"], row["task"]): row["name"].removesuffix(" (raw)")
        for row in hypotheses
        if " on " not in row["name"]
    }


def backbone_selection(correlations, raw, codes):
    """Appendix P from a run: per task, the best backbones and the metric that foresees it best.

    `correlations` are `turned`; `raw` and `codes` map a task to {backbone: performance} of the
    backbone's features and of its SAEs' codes (None: unknown).
    """
    lines = []
    for task in raw:
        known = [row for row in correlations if row["task"] == task and row["rho"] is not None]
        best_raw, best_codes = _best(raw[task]), _best(codes.get(task, {}))
        lines.append(
            {
                "task": task,
                "best_raw": equal.named(best_raw) or None,
                "raw": raw[task][best_raw[0]] if best_raw else None,
                "best_codes": equal.named(best_codes) or None,
                "codes": codes[task][best_codes[0]] if best_codes else None,
                **_supporting(known),
            }
        )
    return Table(
        "Backbone selection by task",
        (
            Column("task", "Task"),
            Column("best_raw", "best, raw"),
            Column("raw", "score", digits=3),
            Column("best_codes", "best, codes"),
            Column("codes", "score", digits=3),
            Column("metric", "supporting metric"),
            Column("rho", "ρ", digits=2),
            Column("p_exact", "p (exact)", digits=3),
            Column("n", "n"),
        ),
        lines,
        (
            "Supporting metric: the one with the highest ρ to raw performance; ρ > 0: the "
            "better a backbone by the metric, the better at the task.",
        ),
    )


def _best(scores):
    """The names of the highest score."""
    return next(iter(equal.ranked(scores)), [])


def _supporting(known):
    """The metric of the highest ρ, or all of these; p and n only where they have one."""
    first = _best({row["metric"]: row["rho"] for row in known})
    rows = [row for row in known if row["metric"] in first]
    told = {key: {row[key] for row in rows} for key in _SUPPORT}
    alike = {key: values.pop() if len(values) == 1 else None for key, values in told.items()}
    rho = rows[0]["rho"] if rows else None
    return alike | {"metric": equal.named(first) or None, "rho": rho}
