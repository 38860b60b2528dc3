"""Figure 6: sparse probing over the SAEs' sparsity and width, by backbone."""

import math
import statistics
import textwrap

from visae.figures import style
from visae.tables.scores import headlines, read_scores


def make(inputs, settings):
    """See `draw`."""
    rows = headlines(read_scores(inputs["scores"]), "sparse_probing", settings["sweep"])
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(rows, styles)


@style.styled
def draw(rows, styles):
    """One panel per expansion factor, training K along x, one line per backbone.

    `rows` are the headline rows of `sparse_probing` in one sweep. A missing score breaks its
    line and is counted above its panel. What M4 is stands below, as the scores define it.
    """
    expansions = sorted({row["expansion_factor"] for row in rows})
    targets = style.grades(row["sparsity"] for row in rows)
    width = min(style.PAGE_WIDTH, 1.5 + 1.75 * len(expansions))
    figure = style.new_figure(width, 2.4)
    grid = figure.subplots(1, len(expansions), sharey=True, squeeze=False)[0]
    for axes, expansion in zip(grid, expansions, strict=True):
        own = [row for row in rows if row["expansion_factor"] == expansion]
        ends = _panel(axes, own, targets, styles)
        known = sum(row["value"] is not None for row in own)
        gaps = f", {len(own) - known} missing" if known < len(own) else ""
        axes.set_title(f"expansion {expansion:g}×", loc="left")
        axes.set_title(f"n = {known}{gaps}", loc="right", fontsize=style.SMALL, color=style.MUTED)
        axes.set_xlabel("training K")
    grid[0].margins(y=0.08)
    grid[0].set_ylabel("M4, sparse probing")
    (definition,) = {row["definition"] for row in rows}
    figure.supxlabel(
        "\n".join(textwrap.wrap(f"M4: {definition}", round(22 * width))),
        fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
    style.label_right(grid[-1], ends, styles)
    return figure


def _panel(axes, rows, targets, styles):
    """Draw the lines of one expansion factor; returns the last known point of each.

    SAEs of one configuration are one point, their mean.
    """
    values = {}
    for row in rows:
        if row["value"] is not None:
            values.setdefault((row["backbone"], row["sparsity"]), []).append(row["value"])
    ends = {}
    for backbone, look in styles.items():
        points = [statistics.fmean(values.get((backbone, k), [math.nan])) for k in targets]
        known = [(x, y) for x, y in enumerate(points) if not math.isnan(y)]
        if not known:
            continue
        axes.plot(points, color=look.color, marker=look.marker, markersize=3.2)
        ends[backbone] = known[-1]
    axes.set_xticks(range(len(targets)), targets)
    return ends
