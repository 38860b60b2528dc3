"""Do the metrics foresee the tasks? Rank correlations over backbones (§4.5, Figures 2b, 7, 8).

A metric's ranks have 1 for the best backbone, whichever way the metric counts, so that a positive
ρ always means: the better a backbone by the metric, the better at the task. The paper correlates
FVU as it is; its sign there is the opposite of the sign here.
"""

from visae.statistics import spearman
from visae.tables.layout import Column, Table
from visae.tables.summaries import backbone_means


def metric_ranks(rows, sweep):
    """{metric: {backbone: rank of its mean in the sweep, 1 = best, None = no value}}."""
    ranks = {}
    for line in backbone_means(rows, sweep).rows:
        ranks.setdefault(line["metric"], {})[line["backbone"]] = line["rank"]
    return ranks


def correlate(ranks, scores):
    """Spearman's ρ of a metric's {backbone: rank} with a task's {backbone: score}.

    Turned so that it is positive when the backbones of better rank have higher scores.
    """
    backbones = sorted(set(ranks) | set(scores))
    merits = [None if ranks.get(b) is None else -ranks[b] for b in backbones]
    return spearman(merits, [scores.get(b) for b in backbones])


def correlation_table(ranks, tasks):
    """Every metric against every task.

    `ranks` are those of `metric_ranks`; `tasks` maps a task to {backbone: performance} (higher is
    better, None: unknown).
    """
    lines = []
    for metric, of_metric in ranks.items():
        for task, scores in tasks.items():
            result = correlate(of_metric, scores)
            lines.append(
                {
                    "metric": metric,
                    "task": task,
                    "rho": result.rho,
                    "p_t": result.p_t,
                    "p_exact": result.p_exact,
                    "backbones": result.n,
                    "reason": result.reason,
                }
            )
    return Table(
        "Rank correlations of metrics and tasks over backbones",
        (
            Column("metric", "Metric"),
            Column("task", "Task"),
            Column("rho", "ρ", digits=2),
            Column("p_t", "p (t)", digits=3),
            Column("p_exact", "p (exact)", digits=3),
            Column("backbones", "n"),
            Column("reason", "reason"),
        ),
        lines,
        ("ρ > 0: the better a backbone by the metric, the better at the task.",),
    )


def backbone_selection(correlations, raw, codes):
    """Appendix P from a run: per task, the best backbones and the metric that foresees it best.

    `correlations` are the rows of `correlation_table`; `raw` and `codes` map a task to
    {backbone: performance} of the backbone's features and of its SAEs' codes.
    """
    lines = []
    for task in raw:
        known = [c for c in correlations if c["task"] == task and c["rho"] is not None]
        supporting = max(known, key=lambda c: c["rho"], default=None)
        best_raw, best_codes = _best(raw[task]), _best(codes.get(task, {}))
        lines.append(
            {
                "task": task,
                "best_raw": best_raw,
                "raw": raw[task].get(best_raw),
                "best_codes": best_codes,
                "codes": codes.get(task, {}).get(best_codes),
                **{
                    key: supporting and supporting[key]
                    for key in ("metric", "rho", "p_exact", "backbones")
                },
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
            Column("backbones", "n"),
        ),
        lines,
        ("Supporting metric: the one with the highest ρ to raw performance, of seven.",),
    )


def _best(scores):
    known = {backbone: score for backbone, score in scores.items() if score is not None}
    return max(known, key=known.get, default=None)
