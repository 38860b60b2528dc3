"""Figure 8: which backbone for which task, read off the run's own results (Appendix P)."""

import textwrap

from matplotlib.patches import FancyBboxPatch

from visae.base import equal
from visae.figures import style
from visae.tables.layout import read

_COLOURS = "#1B7F79", "#6A4C93", "#0A5C96"
"""Of tasks, backbones and metrics."""
# Heights in units of `_UNIT` inches: what is below and above the boxes, what is between them, half
# of the lowest box, and half of a line of text.
_NOTE, _ABOVE, _GAP = 0.6, 0.72, 0.34
_LOWEST, _HALF_LINE, _UNIT = 0.35, 0.074, 0.72
_HALF_WIDTH = 0.44


def make(inputs, settings):
    """See `draw`."""
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(
        read(inputs["backbone_selection"]).rows, settings["metrics"], settings["tasks"], styles
    )


@style.styled
def draw(rows, labels, tasks, styles):
    """A column of boxes per task: the task, the best backbone, the metric that foresees it.

    `rows` are those of `selection.backbone_selection`; `labels` and `tasks` name metrics and
    tasks, `styles` the backbones. What the run does not know is said in its box.
    """
    columns = [(tasks[row["task"]], _backbones(row, styles), _metric(row, labels)) for row in rows]
    centres, halves, top = _heights(columns)
    branch, question = top + 0.3, top + 0.6
    figure = style.new_figure(
        min(style.PAGE_WIDTH, 1.4 * len(rows)), _UNIT * (top + _ABOVE + _NOTE)
    )
    axes = figure.subplots()
    axes.set_axis_off()
    middle = (len(rows) - 1) / 2
    axes.text(middle, question, "What are the features for?", ha="center", va="center",
              fontweight="bold")  # fmt: skip
    line = {"color": style.MUTED, "linewidth": 0.7}
    axes.plot([middle, middle], [question - 0.13, branch], **line)
    axes.plot([0, len(rows) - 1], [branch, branch], solid_capstyle="projecting", **line)
    for x, texts in enumerate(columns):
        above = branch
        for y, half, color, text in zip(centres, halves, _COLOURS, texts, strict=True):
            axes.annotate("", (x, y + half), (x, above), arrowprops=_ARROW)
            _box(axes, x, y, half, color, text, strong=color == _COLOURS[0])
            above = y - half
    axes.set_xlim(-0.52, len(rows) - 0.48)
    axes.set_ylim(-_NOTE, question + 0.12)
    n = max((row["n"] or 0 for row in rows), default=0)
    axes.text(
        middle, -_NOTE + 0.02,
        "task  →  best backbone  →  supporting metric:\n"
        f"highest ρ to raw performance (n = {n} backbones, exact p)",
        ha="center", va="bottom", fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
    return figure


_ARROW = {"arrowstyle": "-|>", "color": style.MUTED, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0,
          "mutation_scale": 6}  # fmt: skip


def _heights(columns):
    """(centres of the rows of boxes, half of each one's height, top): as high as their text."""
    centres, halves, top = [], [], 0.0
    for texts in reversed(list(zip(*columns, strict=True))):
        lines = max(text.count("\n") + 1 for text in texts)
        half = max(_LOWEST, _HALF_LINE * (lines + 1))
        centres.insert(0, top + half)
        halves.insert(0, half)
        top += 2 * half + _GAP
    return centres, halves, top - _GAP


def _box(axes, x, y, half, color, text, strong):
    axes.add_patch(
        FancyBboxPatch(
            (x - _HALF_WIDTH, y - half), 2 * _HALF_WIDTH, 2 * half,
            boxstyle="round,pad=0,rounding_size=0.06", facecolor=style.tint(color, 0.16),
            edgecolor=color, linewidth=0.9,
        )
    )  # fmt: skip
    axes.text(x, y, text, ha="center", va="center", fontsize=7 if strong else style.SMALL,
              fontweight="bold" if strong else "normal", linespacing=1.25)  # fmt: skip


def _backbones(row, styles):
    if row["best_raw"] is None:
        return "not computed\nin this run"
    lines = [f"raw: {_labelled(row['best_raw'], styles)} ({row['raw']:.3f})"]
    if row["best_codes"] is not None:
        lines.append(f"codes: {_labelled(row['best_codes'], styles)} ({row['codes']:.3f})")
    return "\n".join("\n".join(textwrap.wrap(line, 21)) for line in lines)


def _labelled(best, styles):
    return equal.named(styles[name].label for name in equal.names(best))


def _metric(row, labels):
    if row["metric"] is None:
        return "no metric has\na correlation"
    name = "\n".join(textwrap.wrap(equal.named(labels[m] for m in equal.names(row["metric"])), 20))
    rho = f"ρ = {row['rho']:.2f}".replace("-", "−")
    exact = f", p = {row['p_exact']:.3f}" if row["p_exact"] is not None else ""
    return f"{name}\n{rho}{exact}"
