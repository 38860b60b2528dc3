"""Figure 8: which backbone for which task, read off the run's own results (Appendix P)."""

import itertools
import textwrap

from matplotlib.patches import FancyBboxPatch

from visae.base import equal
from visae.figures import style
from visae.tables.layout import read

_TASK, _BACKBONE, _METRIC = "#1B7F79", "#6A4C93", "#0A5C96"
# Heights: the question, where its line branches, and the centres of the boxes.
_TOP, _BRANCH, _ROWS = 3.3, 3.0, (2.35, 1.3, 0.28)
_HALF_WIDTH, _HALF_HEIGHT = 0.44, 0.35


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
    figure = style.new_figure(min(style.PAGE_WIDTH, 1.4 * len(rows)), 2.9)
    axes = figure.subplots()
    axes.set_axis_off()
    middle = (len(rows) - 1) / 2
    axes.text(middle, _TOP, "What are the features for?", ha="center", va="center",
              fontweight="bold")  # fmt: skip
    line = {"color": style.MUTED, "linewidth": 0.7}
    axes.plot([middle, middle], [_TOP - 0.13, _BRANCH], **line)
    axes.plot([0, len(rows) - 1], [_BRANCH, _BRANCH], solid_capstyle="projecting", **line)
    for x, row in enumerate(rows):
        texts = (
            (_TASK, tasks[row["task"]], True),
            (_BACKBONE, _backbones(row, styles), False),
            (_METRIC, _metric(row, labels), False),
        )
        axes.annotate("", (x, _ROWS[0] + _HALF_HEIGHT), (x, _BRANCH), arrowprops=_ARROW)
        for upper, lower in itertools.pairwise(_ROWS):
            axes.annotate("", (x, lower + _HALF_HEIGHT), (x, upper - _HALF_HEIGHT),
                          arrowprops=_ARROW)  # fmt: skip
        for y, (color, text, strong) in zip(_ROWS, texts, strict=True):
            _box(axes, x, y, color, text, strong)
    axes.set_xlim(-0.52, len(rows) - 0.48)
    axes.set_ylim(-0.62, _TOP + 0.12)
    n = max((row["n"] or 0 for row in rows), default=0)
    axes.text(
        middle, -0.6,
        "task  →  best backbone  →  supporting metric:\n"
        f"highest ρ to raw performance (n = {n} backbones, exact p)",
        ha="center", va="bottom", fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
    return figure


_ARROW = {"arrowstyle": "-|>", "color": style.MUTED, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0,
          "mutation_scale": 6}  # fmt: skip


def _box(axes, x, y, color, text, strong):
    axes.add_patch(
        FancyBboxPatch(
            (x - _HALF_WIDTH, y - _HALF_HEIGHT), 2 * _HALF_WIDTH, 2 * _HALF_HEIGHT,
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
