"""M5 of every backbone in every evaluator's space: what is the backbone, what the evaluator?"""

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from visae.figures import style
from visae.tables.layout import read

_SEQUENTIAL = LinearSegmentedColormap.from_list("score", ["#F7F7F7", "#8DBFE0", "#0A5C96"])
_DARK = 0.6  # share of the colour range from which text on a cell is white


def make(inputs, settings):
    """See `draw`."""
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(read(inputs["evaluators_table"]).rows, styles)


@style.styled
def draw(rows, styles):
    """Backbone × evaluator, from `evaluators.monosemanticity_by_evaluator`.

    The pairing of Table 5 is framed. A backbone in its own space is circular: in brackets and
    without colour. Compare down a column: its cells share their space.
    """
    cells = {(row["backbone"], row["evaluator"]): row for row in rows}
    backbones = [backbone for backbone in styles if any(r["backbone"] == backbone for r in rows)]
    spaces = [backbone for backbone in styles if any(r["evaluator"] == backbone for r in rows)]
    known = [row["mean"] for row in rows if row["mean"] is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    figure = style.new_figure(
        min(style.COLUMN_WIDTH, 1.9 + 0.5 * len(spaces)), 0.95 + 0.27 * len(backbones)
    )
    axes = figure.subplots()
    for y, backbone in enumerate(backbones):
        for x, space in enumerate(spaces):
            _cell(axes, x, y, cells.get((backbone, space)), low, high)
    axes.set_xlim(-0.52, len(spaces) - 0.48)
    axes.set_ylim(len(backbones) - 0.48, -0.52)
    axes.set_xticks(
        range(len(spaces)), [styles[space].label.replace(" ", "\n", 1) for space in spaces]
    )
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("scored in the space of")
    axes.set_yticks(range(len(backbones)), [styles[backbone].label for backbone in backbones])
    for tick, backbone in zip(axes.get_yticklabels(), backbones, strict=True):
        tick.set_color(styles[backbone].color)
    axes.set_ylabel("SAE's backbone")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    saes = sum(row["saes"] for row in rows if row["paired"])
    figure.supxlabel(
        f"normalised M5, means over n = {saes} SAEs; compare within columns\n"
        "framed: pairing of Table 5; (in brackets): its own space",
        fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
    return figure


def _cell(axes, x, y, row, low, high):
    own_space = row is not None and row["backbone"] == row["evaluator"]
    if row is None or row["mean"] is None or own_space:
        axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor="white",
                                 edgecolor=style.FAINT, linewidth=0.5))  # fmt: skip
        text = "–" if row is None or row["mean"] is None else f"({row['mean']:.2f})"
        axes.text(x, y, text.replace("-", "−"), ha="center", va="center", color=style.MUTED)
        return
    share = (row["mean"] - low) / (high - low) if high > low else 0.0
    axes.add_patch(
        Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=_SEQUENTIAL(share), linewidth=0)
    )
    axes.text(x, y, f"{row['mean']:.2f}".replace("-", "−"), ha="center", va="center",
              color="white" if share >= _DARK else style.INK)  # fmt: skip
    if row["paired"]:
        axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, fill=False,
                                 edgecolor=style.INK, linewidth=1.1, zorder=3))  # fmt: skip
