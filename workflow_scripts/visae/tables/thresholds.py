"""Table 7: M7 under other thresholds, per backbone, with the lowest marked (Appendix N)."""

import statistics

from visae.base import equal
from visae.evals.absorption.entry import ALPHAS, BETAS
from visae.tables.layout import Column, Table


def table_7(rows, sweep, labels):
    """Share of absorbed tasks at each (α, β), averaged over a backbone's SAEs of one sweep.

    `rows` are those of `scores.csv`; `labels` maps the backbones to their names, in order.
    `lowest` names the backbones with the lowest share (several if equal) by their keys.
    """
    lines = []
    for alpha in ALPHAS:
        for beta in BETAS:
            means = {b: _mean(rows, sweep, b, alpha, beta) for b in labels}
            known = [mean for mean in means.values() if mean is not None]
            lowest = next(iter(equal.ranked(means, ascending=True)), []) if known else []
            lines.append(
                {"alpha": alpha, "beta": beta, **means, "lowest": ", ".join(lowest) or None}
            )
    return Table(
        f"Table 7: absorption under other thresholds, sweep {sweep}",
        (
            Column("alpha", "α", digits=1),
            Column("beta", "β", digits=1),
            *(Column(backbone, label, digits=3) for backbone, label in labels.items()),
            Column("lowest", "lowest"),
        ),
        lines,
        (_summary(lines, labels),),
    )


def _mean(rows, sweep, backbone, alpha, beta):
    reading = f"absorbed_alpha_{alpha}_beta_{beta}"
    values = [
        row["value"]
        for row in rows
        if (row["metric"], row["reading"], row["sweep"], row["backbone"])
        == ("absorption", reading, sweep, backbone)
        and row["value"] is not None
    ]
    return statistics.fmean(values) if values else None


def _summary(lines, labels):
    """Who is lowest how often."""
    counts = {b: sum((line["lowest"] or "").split(", ").count(b) for line in lines) for b in labels}
    told = ", ".join(
        f"{labels[b]} in {n}" for b, n in sorted(counts.items(), key=lambda item: -item[1]) if n
    )
    settings = sum(line["lowest"] is not None for line in lines)
    return f"Lower is better. Lowest, of {settings} settings: {told or 'none known'}."
