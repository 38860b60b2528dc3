"""Figure 3: what a metric's variance is made of: backbone, hyperparameters, or neither."""

import textwrap

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from visae.figures import style
from visae.tables.layout import read
from visae.tables.published import read_published

_PARTS = (
    ("backbone", "backbone", style.VARIANCE_COLORS["backbone"], "white"),
    ("configuration", "hyperparameters", style.VARIANCE_COLORS["configuration"], style.INK),
    ("residual", "residual", style.VARIANCE_COLORS["residual"], style.INK),
)
_NARROWEST_LABELLED = 0.11


def make(inputs, settings):
    """See `draw`."""
    printed = read_published(inputs["published"]) if "published" in inputs else {}
    published = {
        metric: printed[key].value
        for metric in settings["metrics"]
        if (key := f"table_3/{metric}/eta2_backbone") in printed
    }
    return draw(read(inputs["table_3"]).rows, settings["metrics"], published)


@style.styled
def draw(rows, labels, published):
    """Stacked bars of η² per metric, in the order of `rows` (those of Table 3).

    `labels` maps a metric to its name; `published` maps a metric to the published share of the
    backbone, marked above the bar. The whisker is the bootstrap interval of the backbone's
    share. A metric without shares gets its reason instead of a bar.
    """
    figure = style.new_figure(style.COLUMN_WIDTH, 0.8 + 0.31 * len(rows))
    axes = figure.subplots()
    for position, row in enumerate(rows):
        if row["eta2_backbone"] is None:
            axes.text(0.01, position, _wrapped(row["reason"]), va="center", fontsize=style.SMALL,
                      color=style.MUTED, style="italic")  # fmt: skip
        else:
            _bar(axes, position, row)
        if row["metric"] in published:
            axes.plot(published[row["metric"]], position - 0.40, marker="v", markersize=4.2,
                      color=style.INK, markeredgecolor="white", markeredgewidth=0.4,
                      clip_on=False, zorder=5)  # fmt: skip
    _key(figure, rows, published)
    axes.set_yticks(range(len(rows)), [labels[row["metric"]] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.5, -0.45)
    axes.set_xlim(0, max([1.0, *(_total(row) for row in rows)]))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("share of the total sum of squares, η²")
    return figure


def _total(row):
    return sum(row[f"eta2_{name}"] or 0.0 for name, *_ in _PARTS)


def _bar(axes, position, row):
    left = 0.0
    for name, _, color, ink in _PARTS:
        share = row[f"eta2_{name}"]
        axes.barh(position, share, height=0.56, left=left, color=color, edgecolor="white",
                  linewidth=0.5)  # fmt: skip
        if share >= _NARROWEST_LABELLED:
            axes.text(left + 0.012 if name == "backbone" else left + share / 2, position,
                      f"{share:.3f}".removeprefix("0"), va="center", color=ink,
                      ha="left" if name == "backbone" else "center",
                      fontsize=style.SMALL)  # fmt: skip
        left += share
    low, high = row["eta2_backbone_low"], row["eta2_backbone_high"]
    if low is not None:
        axes.plot([low, high], 2 * [position + 0.36], color=_PARTS[0][2], linewidth=1.0,
                  marker="|", markersize=3.5, solid_capstyle="butt", clip_on=False)  # fmt: skip
    note = f"n = {row['cells']}"
    if row["missing"]:
        note += f"\n{row['missing']} missing"
    axes.text(1.015, position, note, transform=axes.get_yaxis_transform(), va="center",
              fontsize=style.SMALL, color=style.MUTED)  # fmt: skip


def _key(figure, rows, published):
    """The parts above the bars, and below them the marks that are there."""
    parts = [Patch(color=color, label=label) for _, label, color, _ in _PARTS]
    compact = {"frameon": False, "handletextpad": 0.5, "columnspacing": 1.2, "borderaxespad": 0.2}
    figure.legend(handles=parts, loc="outside upper right", ncols=3, handlelength=0.8,
                  handleheight=0.8, fontsize=6.5, **compact)  # fmt: skip
    marks = []
    if any(row["eta2_backbone_low"] is not None for row in rows):
        marks.append(Line2D([], [], color=_PARTS[0][2], linewidth=1.0, marker="|", markersize=3.5,
                            label="95 % bootstrap interval, backbone"))  # fmt: skip
    if any(row["metric"] in published for row in rows):
        # A PathCollection, because lines get a marker at both ends in this legend.
        marks.append(figure.axes[0].scatter([], [], color=style.INK, marker="v", s=16,
                                            label="published, backbone"))  # fmt: skip
    if marks:
        figure.legend(handles=marks, loc="outside lower right", ncols=2, handlelength=1.6,
                      numpoints=2, scatterpoints=1, fontsize=style.SMALL, **compact)  # fmt: skip


def _wrapped(reason):
    return "\n".join(textwrap.wrap(f"not computable: {reason}", 44))
