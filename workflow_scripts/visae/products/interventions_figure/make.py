"""Target against other change over strength: the feature, its controls, the class's mean."""

from collections import Counter
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from visae.figures import style
from visae.tables.layout import read

_LOOKS: dict[str, Any] = {
    "feature": ("#C1541B", "o", "-"),
    "class mean direction": ("#0A5C96", "s", "-"),
    "random live feature": ("#7A7A7A", "^", "--"),
    "random direction": ("#B0B0B0", "v", "--"),
}
_COLUMNS = 4


def make(inputs, settings):
    """See `draw`."""
    return draw(read(inputs["interventions_table"]).rows, settings["labels"])


@style.styled
def draw(rows, labels):
    """A panel per SAE, data set and head, from `tables.interventions.interventions_table`.

    A line joins the strengths of one edit, from no edit at the origin to either side: filled marks
    take away, open ones make stronger. Bars: intervals over classes. The largest strength s of the
    feature stands at its line's end; the others lie between, in order.
    """
    panels = {}
    for row in rows:
        key = tuple(row[name] for name in ("backbone", "layer", "sae", "dataset", "head"))
        panels.setdefault(key, []).append(row)
    wide = min(_COLUMNS, max(len(panels), 1))
    tall = -(-len(panels) // wide) or 1
    figure = style.new_figure(style.PAGE_WIDTH, 0.45 + 2.0 * tall)
    grid = figure.subplots(tall, wide, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    limits, several = _limits(rows), Counter(key[:2] for key in {key[:3] for key in panels})
    for axes, (key, own) in zip(grid.flat, panels.items(), strict=False):
        backbone, layer, sae, dataset, head = key
        axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=0.6, zorder=0)
        for edit, look in _LOOKS.items():
            _line(axes, [row for row in own if row["edit"] == edit], look)
        axes.set_title(f"{dataset}, {head}", loc="left")
        said = f"{labels[backbone]}, block {layer}"
        if several[backbone, layer] > 1:
            said += f"\n{sae}"
        axes.annotate(
            said, (0.98, 0.03), color=style.MUTED, xycoords="axes fraction", ha="right",
            fontsize=style.SMALL,
        )  # fmt: skip
        axes.set_xlim(-0.02 * limits[0], limits[0])
        axes.set_ylim(-0.02 * limits[1], limits[1])
    for axes in grid.flat[max(len(panels) - wide, 0) : max(len(panels), 1)]:  # the lowest ones
        axes.set_xlabel("share of the others changed")
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("share of the class changed")
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle=line, label=edit)
        for edit, (color, marker, line) in _LOOKS.items()
    ]
    handles.append(
        Line2D([], [], color=style.MUTED, marker="o", markerfacecolor="white", linestyle="",
               label="open: s < 0, stronger")
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def _limits(rows):
    """The largest share on either axis, intervals included, with a margin."""
    found = []
    for what in ("other", "target"):
        values = [row[f"{what}{end}"] or 0 for row in rows for end in ("", "_high")]
        found.append(min(1.02, 1.08 * max(values, default=0) + 0.02))
    return found


def _line(axes, rows, look):
    color, marker, line = look
    known = [row for row in rows if None not in (row["target"], row["other"])]
    for sign in (-1, 1):
        own = sorted(
            (r for r in known if sign * r["strength"] > 0), key=lambda r: abs(r["strength"])
        )
        if not own:
            continue
        xs, ys = ([0, *(row[what] for row in own)] for what in ("other", "target"))
        axes.plot(xs, ys, color=color, linestyle=line, linewidth=0.9, zorder=2)
        axes.plot(
            xs[1:], ys[1:], linestyle="", marker=marker, markersize=3.4, markeredgecolor=color,
            markerfacecolor=color if sign > 0 else "white", zorder=3,
        )  # fmt: skip
        for row in own:
            if row["target_low"] is not None:
                axes.plot(2 * [row["other"]], [row["target_low"], row["target_high"]],
                          color=color, linewidth=0.6, alpha=0.6, zorder=1)  # fmt: skip
            if row["other_low"] is not None:
                axes.plot([row["other_low"], row["other_high"]], 2 * [row["target"]],
                          color=color, linewidth=0.6, alpha=0.6, zorder=1)  # fmt: skip
        if look is _LOOKS["feature"]:
            said = f"s = {own[-1]['strength']:g}".replace("-", "−")
            axes.annotate(said, (xs[-1], ys[-1]), xytext=(3, 3), textcoords="offset points",
                          color=color, fontsize=style.SMALL, zorder=4,
                          path_effects=[withStroke(linewidth=1.6, foreground="white")])  # fmt: skip
