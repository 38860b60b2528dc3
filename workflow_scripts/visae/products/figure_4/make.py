"""Figure 4: do the scores depend on the layer that the SAE was trained on?"""

import math

from visae.figures import style
from visae.tables.layout import read

_COLUMNS = 4


def make(inputs, settings):
    """See `draw`."""
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(
        read(inputs["layer_comparison"]).rows, settings["metrics"], settings["layers"], styles
    )


@style.styled
def draw(rows, labels, layers, styles):
    """One panel per metric: each backbone's mean at the early and the late layer, joined.

    `rows` are those of `summaries.layer_comparison`, `layers` the two layer numbers (early,
    late). Every panel has its own scale.
    """
    metrics = [metric for metric in labels if any(row["metric"] == metric for row in rows)]
    columns = min(_COLUMNS, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    figure = style.new_figure(style.PAGE_WIDTH * max(columns, 2) / _COLUMNS, 0.35 + 1.5 * lines)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, metric in zip(grid, metrics, strict=False):
        own = [row for row in rows if row["metric"] == metric]
        _panel(axes, own, labels[metric], layers, styles)
    for axes in grid[len(metrics) :]:
        axes.set_axis_off()
    return figure


def _panel(axes, rows, label, layers, styles):
    known = [row for row in rows if row["pairs"]]
    for row in known:
        look = styles[row["backbone"]]
        axes.plot([0, 1], [row["early"], row["late"]], color=look.color, marker=look.marker)
    axes.set_title(label, loc="left")
    axes.set_xlim(-0.15, 1.12)
    axes.set_xticks([0, 1], [f"layer {layer}" for layer in layers])
    axes.margins(y=0.15)
    lacking = style.name_list([row["backbone"] for row in rows if not row["pairs"]], styles)
    if not known:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no value at both layers", transform=axes.transAxes, ha="center",
                  fontsize=style.SMALL, color=style.MUTED)  # fmt: skip
        return
    axes.locator_params(axis="y", nbins=4)
    pairs = sorted({row["pairs"] for row in known})
    count = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]}–{pairs[-1]}"
    plural = "s" if pairs[-1] != 1 else ""
    note = f"n = {count} SAE{plural} each" + (f"; no {lacking}" if lacking else "")
    axes.set_xlabel(note, fontsize=style.SMALL, color=style.MUTED)
    style.label_right(axes, {r["backbone"]: (1, r["late"]) for r in known}, styles)
