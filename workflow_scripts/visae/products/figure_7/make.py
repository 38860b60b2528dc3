"""Figure 7: per task, how well each metric foresees it."""

from visae.base import equal
from visae.figures import style
from visae.tables.foresight import turned
from visae.tables.layout import read

SIGNIFICANT = 0.05

_LIMIT = 1.75  # of the axes: room for the numbers beside bars of length 1


def make(inputs, settings):
    """See `draw`."""
    return draw(turned(read(inputs["correlations"]).rows), settings["metrics"], settings["tasks"])


@style.styled
def draw(rows, labels, tasks):
    """One panel per task: bars of Spearman's ρ over backbones, one per metric.

    `rows` are those of `selection.turned`; `labels` and `tasks` map metrics and
    tasks to their names, in order. Full colour: exact p ≤ 0.05. A metric without ρ has a dash.
    """
    metrics = [metric for metric in labels if any(row["metric"] == metric for row in rows)]
    cells = {(row["metric"], row["task"]): row for row in rows}
    figure = style.new_figure(
        min(style.PAGE_WIDTH, 1.3 + 1.15 * len(tasks)), 0.75 + 0.2 * len(metrics)
    )
    grid = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, (task, name) in zip(grid, tasks.items(), strict=True):
        own = [cells.get((metric, task)) for metric in metrics]
        known = [row["rho"] for row in own if row and row["rho"] is not None]
        for y, row in enumerate(own):
            _bar(axes, y, row, known)
        counts = [row["n"] for row in own if row]
        axes.set_title(name, loc="left")
        axes.set_xlabel(f"n = {max(counts, default=0)} backbones", fontsize=style.SMALL,
                        color=style.MUTED)  # fmt: skip
        axes.axvline(0, color=style.MUTED, linewidth=0.6)
        axes.set_xlim(-_LIMIT, _LIMIT)
        axes.set_xticks([-1, 0, 1], ["−1", "0", "1"])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, pad=8)  # apart from the numbers of long bars
    grid[0].set_ylim(len(metrics) - 0.5, -0.6)
    grid[0].set_yticks(range(len(metrics)), [labels[metric] for metric in metrics])
    figure.supxlabel(
        "Spearman's ρ, positive: better by the metric, better at the task; full colour: exact "
        f"p ≤ {SIGNIFICANT:g}; bold: highest",
        fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
    return figure


def _bar(axes, y, row, known):
    if row is None or row["rho"] is None:
        axes.text(0.06, y, "–", va="center", color=style.MUTED)
        return
    rho = round(row["rho"], 9) + 0.0  # no negative zero
    full = style.DIVERGING(1.0 if rho >= 0 else 0.0)[:3]
    significant = row["p_exact"] is not None and row["p_exact"] <= SIGNIFICANT
    axes.barh(y, rho, height=0.66, color=full if significant else style.tint(full, 0.5))
    text = f"{rho:.2f}".replace("-", "−")
    axes.text(
        rho + (0.05 if rho >= 0 else -0.05), y, text, va="center",
        ha="left" if rho >= 0 else "right", fontsize=style.SMALL,
        fontweight="bold" if equal.same(row["rho"], max(known)) else "normal",
    )  # fmt: skip
