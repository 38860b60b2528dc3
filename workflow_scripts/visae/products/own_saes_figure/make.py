"""One panel per metric: the study's SAEs over their L0, and own SAEs among them."""

import math

from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from visae.figures import style
from visae.tables.layout import read
from visae.tables.own_saes import L0
from visae.tables.scores import read_scores
from visae.tables.tidy import HEADLINE

_COLUMNS = 4


def make(inputs, settings):
    """See `draw`."""
    rows = read(inputs["own_saes_table"]).rows
    styles = style.backbone_styles(settings["labels"])
    return draw(rows, read_scores(inputs["scores"]), settings["metrics"], styles)


@style.styled
def draw(rows, scores, titles, styles):
    """Lines: the sweep that an own SAE is held against, on its backbone. Named marks: own SAEs.

    rows: of `tables.own_saes`. scores: all rows of the tidy table. titles: metric → its name.
    """
    rows = [row for row in rows if None not in (row["value"], row["l0"])]
    shown = [metric for metric in titles if any(row["metric"] == metric for row in rows)]
    columns = min(_COLUMNS, max(1, len(shown)))
    lines = max(1, math.ceil(len(shown) / columns))
    figure = style.new_figure(min(style.PAGE_WIDTH, 0.6 + 1.7 * columns), 0.5 + 1.6 * lines)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    names = list(dict.fromkeys(row["sae"] for row in rows))
    for axes, metric in zip(grid, shown, strict=False):
        own = [row for row in rows if row["metric"] == metric]
        for place in dict.fromkeys((r["backbone"], r["layer"], r["sweep"]) for r in own):
            for factor, points in _curves(scores, metric, *place):
                color = styles[place[0]].color
                axes.plot(*zip(*points, strict=True), color=color, linewidth=0.8,
                          marker=".", markersize=3)  # fmt: skip
                axes.annotate(f"{factor:g}×", points[0], xytext=(-3, 0), color=color, ha="right",
                              va="center", textcoords="offset points", fontsize=5)  # fmt: skip
        for row in own:
            axes.plot(row["l0"], row["value"], color=styles[row["backbone"]].color,
                      marker=_mark(names, row["sae"]), markersize=6, markeredgecolor=style.INK,
                      markeredgewidth=0.6, linestyle="")  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.14)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(titles[metric], loc="left", fontsize=style.SMALL)
    for axes in grid[: len(shown)][-columns:]:
        axes.set_xlabel("L0")
    handles = [
        Line2D([], [], marker=_mark(names, name), color=style.MUTED, markeredgecolor=style.INK,
               markeredgewidth=0.6, linestyle="", label=name)
        for name in names
    ]  # fmt: skip
    backbones = dict.fromkeys(row["backbone"] for row in rows)
    handles += [
        Line2D([], [], color=styles[b].color, marker=".", label=f"study, {styles[b].label}")
        for b in backbones
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False,
                  fontsize=style.SMALL)  # fmt: skip
    return figure


def _mark(names, name):
    return "*PXdp^v<>h"[names.index(name) % 10]


def _curves(scores, metric, backbone, layer, sweep):
    """[(expansion factor, [(L0, value), …] by L0), …] of a sweep at a place."""
    saes = {}
    for row in scores:
        if (row["backbone"], row["layer"], row["sweep"]) == (backbone, layer, sweep):
            values = saes.setdefault((row["expansion_factor"], row["sae"]), {})
            values[row["metric"], row["reading"]] = row["value"]
    by_factor = {}
    for (factor, _), values in saes.items():
        point = values.get(L0), values.get((metric, HEADLINE))
        if None not in point:
            by_factor.setdefault(factor, []).append(point)
    return [(factor, sorted(points)) for factor, points in sorted(by_factor.items())]
