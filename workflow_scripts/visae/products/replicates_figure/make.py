"""Pretraining repeated: what is the backbone's, what its seed's, and M1 run by run."""

from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from visae.figures import style
from visae.tables.layout import read

_PARTS = (
    ("backbone", "backbone"),
    ("seed", "seed of its pretraining"),
    ("configuration", "hyperparameters"),
    ("residual", "residual"),
)


def make(inputs, settings):
    """See `draw`."""
    shares, means = (read(inputs[name]).rows for name in ("replicates_table", "replicate_means"))
    styles = style.backbone_styles(settings["labels"])
    return draw(shares, means, settings["metrics"], styles, settings["arms"])


@style.styled
def draw(shares, means, labels, styles, arms):
    """Left: shares of variance, metric by metric; right: M1 of every arm in every study.

    `shares` are rows of `tables.replicates.replicates` and `means` of `replicate_means`; `labels`
    names the metrics; `arms` are (sweep, backbone) in the order of the right panel. Dots on the
    left: the backbone's η² as one seed alone would report it.
    """
    figure = style.new_figure(style.PAGE_WIDTH, 0.75 + 0.27 * max(len(shares), len(arms)))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _variance(left, shares, labels)
    _localization(right, means, styles, arms)
    handles: list[Artist] = [
        Patch(color=style.VARIANCE_COLORS[part], label=label) for part, label in _PARTS
    ]
    handles.append(
        Line2D([], [], marker="|", linestyle="", color=style.INK, markersize=6, markeredgewidth=1.2,
               label="η² of the backbone, one seed alone: lowest and highest")
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False,
                  fontsize=style.SMALL, handlelength=0.8, handleheight=0.8, handletextpad=0.5,
                  columnspacing=1.2, borderaxespad=0.2)  # fmt: skip
    return figure


def _variance(axes, shares, labels):
    for y, row in enumerate(shares):
        start = 0.0
        for part, color in style.VARIANCE_COLORS.items():
            if row[part] is not None:
                axes.barh(y, row[part], left=start, height=0.6, color=color, linewidth=0)
                start += row[part]
        if row["reason"]:
            axes.text(0.01, y, row["reason"], va="center", fontsize=style.SMALL, color=style.MUTED)
        for end in ("alone_low", "alone_high"):
            if row[end] is not None:
                axes.plot(2 * [row[end]], [y - 0.4, y + 0.4], color=style.INK, linewidth=1.2,
                          clip_on=False, solid_capstyle="butt")  # fmt: skip
        if row["p"] is not None:
            text = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.3f}"
            axes.text(1.02, y, text, va="center", fontsize=style.SMALL, color=style.MUTED)
    axes.set_yticks(range(len(shares)), [labels[row["metric"]] for row in shares])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(
        f"share of the total sum of squares (n = {_span(shares, 'seeds')} seeds × "
        f"{_span(shares, 'configurations')} configurations)\n"
        "p: backbone against seed within backbone, F-test"
    )


def _span(shares, count):
    """Lowest and highest of a count over the metrics: "12" or "11 to 12"."""
    return " to ".join(str(n) for n in sorted({f(r[count] for r in shares) for f in (min, max)}))


def _localization(axes, means, styles, arms):
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=0)
    studies = dict.fromkeys(row["study"] for row in means)
    for y, (sweep, backbone) in enumerate(arms):
        look = styles[backbone]
        values = [
            row["mean"]
            for row in means
            if (row["sweep"], row["backbone"], row["metric"]) == (sweep, backbone, "localization")
            and row["mean"] is not None
        ]
        axes.axhline(y, color=style.FAINT, linewidth=0.6, zorder=0)
        axes.plot(values, len(values) * [y], linestyle="", marker=look.marker, markersize=4.5,
                  markerfacecolor="none", markeredgecolor=look.color,
                  markeredgewidth=1.1, clip_on=False)  # fmt: skip
    axes.set_yticks(range(len(arms)), [styles[backbone].label for _, backbone in arms])
    for tick, (_, backbone) in zip(axes.get_yticklabels(), arms, strict=True):
        tick.set_color(styles[backbone].color)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"M1: mean Moran's I\none mark per seed (n = {len(studies)})")
