"""Recipes of training: a panel per metric, a row per recipe, a mark per backbone."""

import math

from matplotlib.lines import Line2D

from visae.figures import style
from visae.tables.layout import read
from visae.tables.recipes import SPREAD

_FIRST = {"fvu": "M2: FVU", "dead_fraction": "dead features", "mean_l0": "L0"}
_COLUMNS = 3


def make(inputs, settings):
    """See `draw`."""
    rows = read(inputs["recipes_table"]).rows
    return draw(rows, settings["metrics"], style.backbone_styles(settings["labels"]))


@style.styled
def draw(rows, titles, styles):
    """The configuration that most recipes have, on the backbones that have it.

    `rows` are those of `tables.recipes.recipes`; `titles` names metrics. A bar is as long as seeds
    are apart.
    """
    rows = _most_compared(rows)
    panels = {
        name: _FIRST.get(name, titles.get(name)) for name in dict.fromkeys([*_FIRST, *titles])
    }
    panels = {name: title for name, title in panels.items() if any(_known(rows, name))}
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    backbones = list(dict.fromkeys(row["backbone"] for row in rows))
    lines = math.ceil(len(panels) / _COLUMNS)
    figure = style.new_figure(style.PAGE_WIDTH, 0.5 + lines * (0.5 + 0.15 * len(recipes)))
    grid = figure.subplots(lines, _COLUMNS, sharey=True, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, title) in zip(grid, panels.items(), strict=False):
        _panel(axes, rows, name, recipes, backbones, styles)
        axes.set_xlabel(title)
    handles = [
        Line2D([], [], marker=styles[b].marker, color=styles[b].color, linestyle="",
               label=styles[b].label)
        for b in backbones
    ]  # fmt: skip
    size = f"{rows[0]['expansion_factor']} × D features, {rows[0]['k']:g} active per token"
    figure.legend(handles=handles, loc="outside upper left", ncols=max(1, len(handles)),
                  frameon=False, title=size, fontsize=style.SMALL, title_fontsize=style.SMALL,
                  alignment="left")  # fmt: skip
    return figure


def _known(rows, name):
    return (row.get(name) is not None for row in rows)


def _most_compared(rows):
    """The rows of the configuration, and block, with most recipes on most backbones."""
    groups = {}
    for row in rows:
        groups.setdefault((row["expansion_factor"], row["k"]), []).append(row)
    return max(groups.values(), key=lambda group: (len({r["recipe"] for r in group}), len(group)))


def _panel(axes, rows, name, recipes, backbones, styles):
    for y, recipe in enumerate(recipes):
        axes.axhline(y, color=style.FAINT, linewidth=0.6, zorder=0)
        for row in rows:
            if row["recipe"] != recipe or row[name] is None:
                continue
            look = styles[row["backbone"]]
            shift = 0.5 * ((backbones.index(row["backbone"]) + 0.5) / len(backbones) - 0.5)
            spread = (row[name + SPREAD] or 0) / 2
            axes.errorbar(row[name], y + shift, xerr=spread, fmt=look.marker, color=look.color,
                          markersize=3, elinewidth=0.8)  # fmt: skip
    axes.set_yticks(range(len(recipes)), recipes)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(recipes) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
