"""The paper as it was run: a matrix of settings and metrics, one change per cell."""

import math

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from visae.figures import style
from visae.tables.as_run import ARM, BESIDE
from visae.tables.layout import read
from visae.tables.scores import HEADLINE

_BESIDE = {"mean_l0": ("L0", "{:.1f}"), "dead_fraction": ("dead", "{:.0%}"),
           "clipped_fraction": ("clipped", "{:.0%}")}  # fmt: skip
"""Heading and format of what stands beside the metrics, from before to after."""

_SCALE = Normalize(-1, 1)
_DARK = 0.6
"""Of the scale: text on cells beyond is white."""
_GAP = 0.9
"""Between settings that were run and those that were read otherwise, in rows."""


def make(inputs, settings):
    """See `draw`."""
    return draw(read(inputs["as_run_table"]).rows, settings["metrics"])


@style.styled
def draw(rows, labels):
    """Rows are settings, columns metrics; a cell says by how much a metric changes.

    `rows` are those of `tables.as_run.as_run`; `labels` names the metrics. Colour: the change as a
    share of the range of the backbones' means, so that a full colour moves a backbone from one end
    of the ranking to the other. Settings that were run as arms come first, with L0, dead features
    and clipped steps beside them.
    """
    columns = [metric for metric in labels if any(row["metric"] == metric for row in rows)]
    settings = list(dict.fromkeys((row["switched"], row["setting"]) for row in rows))
    arms = sum(switched == ARM for switched, _ in settings)
    places = {at: y + _GAP * (0 < arms <= y) for y, at in enumerate(settings)}
    beside = list(_BESIDE) if arms else []
    width, height = len(columns) + len(beside), max(places.values(), default=0) + 1

    figure = style.new_figure(style.PAGE_WIDTH, 1.0 + 0.3 * height)
    axes = figure.subplots()
    for row in rows:
        y = places[row["switched"], row["setting"]]
        if row["switched"] == ARM and (row["metric"], row["reading"]) in BESIDE:
            _beside(axes, len(columns) + beside.index(row["reading"]), y, row)
        elif row["switched"] != ARM or row["reading"] == HEADLINE:
            _cell(axes, columns.index(row["metric"]), y, row)
    heads = [labels[metric] for metric in columns] + [_BESIDE[reading][0] for reading in beside]
    axes.set_xticks(range(width), heads, rotation=25, ha="left", rotation_mode="anchor")
    axes.set_yticks(list(places.values()), [_two_lines(s.replace("_", " ")) for _, s in places])
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for y in places.values():
        axes.axhline(y, color=style.FAINT, linewidth=0.5, zorder=0)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _headings(axes, arms, len(settings))
    bar = figure.colorbar(ScalarMappable(_SCALE, style.DIVERGING), ax=axes, location="bottom",
                          aspect=70, shrink=0.6, pad=0.02, ticks=[-1, -0.5, 0, 0.5, 1])  # fmt: skip
    bar.outline.set_visible(False)
    bar.ax.set_xticklabels(["−1 or less", "−0.5", "0", "0.5", "1 or more"])
    bar.set_label(
        "colour: change of the mean / range of the backbones' means\n"
        "number: the change; ρ: the backbones' order after against before, where it is below 1"
    )
    return figure


def _cell(axes, x, y, row):
    change = row["change"]
    if change is None:
        axes.text(x, y, "not run", ha="center", va="center", fontsize=style.SMALL,
                  color=style.MUTED, backgroundcolor="white")  # fmt: skip
        return
    share = (
        0.0 if not change else change / row["range"] if row["range"] else math.copysign(1, change)
    )
    share = min(max(share, -1.0), 1.0)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, linewidth=0,
                             color=style.DIVERGING(_SCALE(share))))  # fmt: skip
    rho = row["rho"]
    second = f"\nρ {_minus(f'{rho:.2f}')}" if rho is not None and rho < 0.995 else ""
    axes.text(x, y, _signed(change) + second, ha="center", va="center", fontsize=style.SMALL,
              linespacing=1.1, color="white" if abs(share) > _DARK else style.INK)  # fmt: skip


def _beside(axes, x, y, row):
    if row["change"] is not None:
        form = _BESIDE[row["reading"]][1]
        before, after = form.format(row["before"]), form.format(row["after"])
        text, color = (
            (after, style.MUTED) if before == after else (f"{before}\n→ {after}", style.INK)
        )
        axes.text(x, y, text, ha="center", va="center", fontsize=style.SMALL, color=color,
                  linespacing=1.1, bbox={"color": "white", "pad": 0.5})  # fmt: skip


def _headings(axes, arms, settings):
    """What the two blocks of rows are, on a line above the second."""
    if 0 < arms < settings:
        y = arms - 0.5 + _GAP / 2
        axes.axhline(y, color=style.MUTED, linewidth=0.6)
        for text, offset, side in (
            ("↑ the study run again", 2, "bottom"),
            ("↓ the same SAEs, read otherwise", -2, "top"),
        ):
            axes.annotate(text, (1, y), xycoords=("axes fraction", "data"), xytext=(0, offset),
                          textcoords="offset points", ha="right", va=side, fontsize=style.SMALL,
                          color=style.MUTED)  # fmt: skip


def _signed(change):
    """`+0.105`, `−0.0012`: two figures at least, and no more than four decimals."""
    digits = 3 if abs(change) >= 0.1 else 4
    text = f"{change:+.{digits}f}"
    return "0" if float(text) == 0 else _minus(text)


def _minus(text):
    return text.replace("-", "−")


def _two_lines(text, width=26):
    """`text` cut at the space nearest to its middle, where it is longer than `width`."""
    spaces = [i for i, letter in enumerate(text) if letter == " "]
    if len(text) <= width or not spaces:
        return text
    at = min(spaces, key=lambda i: abs(i - len(text) / 2))
    return f"{text[:at]}\n{text[at + 1 :]}"
