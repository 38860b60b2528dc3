"""Figure 2b: which metric foresees which task? Rank correlations over backbones."""

from matplotlib.patches import Rectangle

from visae.evals.shelf import lower_is_better
from visae.figures import style
from visae.tables.foresight import registered_cells, turned
from visae.tables.layout import read

_DARK = 0.65  # |ρ| from which text on a cell is white


def make(inputs, settings):
    """See `draw`."""
    found = turned(read(inputs["correlations"]).rows)
    cells = registered_cells(read(inputs["hypotheses"]).rows)
    return draw(found, settings["metrics"], settings["tasks"], cells)


@style.styled
def draw(rows, labels, tasks, hypotheses):
    """Cells of metric × task with ρ and, below it, the exact p.

    `rows` are those of `selection.turned`; `labels` maps a metric to its name and `tasks` a task
    to its name, in the order of rows and columns. The cells of `hypotheses`, {(metric, task):
    name}, were registered before the correlations were computed (section 4.5) and are framed.
    """
    cells = {(row["metric"], row["task"]): row for row in rows}
    metrics = [metric for metric in labels if any(row["metric"] == metric for row in rows)]
    figure = style.new_figure(style.COLUMN_WIDTH, 0.95 + 0.3 * len(metrics))
    axes = figure.subplots()
    frames = []
    for y, metric in enumerate(metrics):
        for x, task in enumerate(tasks):
            _cell(axes, x, y, cells.get((metric, task)))
            if (metric, task) in hypotheses:
                frames.append((x, y, hypotheses[metric, task]))
    for x, y, _ in frames:
        axes.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=style.INK, linewidth=1.1,
                      zorder=3, clip_on=False)
        )  # fmt: skip
    axes.set_xlim(-0.5, len(tasks) - 0.5)
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    axes.set_xticks(range(len(tasks)), tasks.values(), rotation=30, ha="left",
                    rotation_mode="anchor")  # fmt: skip
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(metrics)), [labels[metric] for metric in metrics])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    shown = {metric: labels[metric] for metric in metrics}
    note = _note(rows, shown, [name for _, _, name in frames])
    figure.supxlabel(note, fontsize=style.SMALL, color=style.MUTED)
    return figure


def _cell(axes, x, y, row):
    if row is None or row["rho"] is None:
        axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color="#EFEFEF", linewidth=0))
        axes.text(x, y, "–", ha="center", va="center", color=style.MUTED)
        return
    color = style.DIVERGING((row["rho"] + 1) / 2)
    axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color=color, linewidth=0))
    ink = "white" if abs(row["rho"]) >= _DARK else style.INK
    text = f"{round(row['rho'], 9) + 0.0:.2f}".replace("-", "−")  # no negative zero
    axes.text(x, y - 0.03, text, ha="center", va="bottom", color=ink)
    if row["p_exact"] is not None:
        p = f"p {row['p_exact']:.2f}" if row["p_exact"] >= 0.1 else f"p {row['p_exact']:.3f}"
        axes.text(x, y + 0.03, p, ha="center", va="top", color=ink, fontsize=style.SMALL)


def _note(rows, labels, hypotheses):
    counts = sorted({row["n"] for row in rows})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    low = [label for metric, label in labels.items() if lower_is_better(metric)]
    lower = f"\n(lower: {', '.join(low)})" if low else ""
    framed = f"; framed: {', '.join(sorted(hypotheses))}" if hypotheses else ""
    return (
        f"Spearman's ρ over n = {n} backbones, exact p{framed}.\n"
        f"Positive: better by the metric{lower}, better at the task."
    )
