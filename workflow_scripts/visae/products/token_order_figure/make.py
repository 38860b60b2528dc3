"""The control of M1: patches in raster order, patches permuted, and what chance alone predicts."""

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from visae.figures import style
from visae.tables.layout import read

_PANELS = (
    ("mean", "permuted_mean", "M1", "mean Moran's I"),
    ("iqr", "permuted_iqr", "M1, interquartile\nrange over features", "log scale"),
    ("raw_mean", "permuted_mean", "raw channels", "mean Moran's I"),
    ("raw_z", None, "raw channels, z", "log scale; band: |z| ≤ 2"),
)
_NULL_Z = 2.0


def make(inputs, settings):
    """See `draw`."""
    styles = style.backbone_styles(settings["labels"])
    return draw(read(inputs["token_order_table"]).rows, styles)


@style.styled
def draw(rows, styles):
    """One line per arm and four panels, from `token_order.token_order_table`.

    Filled marks: raster order; open: permuted; black: the published values. The dash across a
    line is what a random order of patches predicts, for z the band of ±2.
    """
    figure = style.new_figure(style.PAGE_WIDTH, 0.95 + 0.23 * len(rows))
    grid = figure.subplots(1, len(_PANELS), sharey=True, width_ratios=(1.2, 1, 1.2, 1))
    for axes, (measured, predicted, title, unit) in zip(grid, _PANELS, strict=True):
        for y, row in enumerate(rows):
            axes.axhline(y, color=style.FAINT, linewidth=0.6, zorder=0)
            if predicted and row[predicted] is not None:
                axes.plot(2 * [row[predicted]], [y - 0.34, y + 0.34], color="#C1541B",
                          linewidth=1.6, solid_capstyle="butt", zorder=2)  # fmt: skip
            if row[measured] is not None:
                axes.plot(row[measured], y, linestyle="", zorder=3, **_mark(row, styles))
        axes.set_title(title, loc="left")
        axes.set_xlabel(unit, fontsize=style.SMALL, color=style.MUTED)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    grid[0].set_ylim(len(rows) - 0.5, -0.5)
    grid[0].set_yticks(range(len(rows)), [row["arm"] for row in rows])
    for axes in (grid[0], grid[2]):
        axes.margins(x=0.08)
        axes.locator_params(axis="x", nbins=5)
    if any(row["iqr"] or row["permuted_iqr"] for row in rows):
        grid[1].set_xscale("log")
        grid[1].margins(x=0.1)
        grid[1].xaxis.set_major_formatter("{x:g}")
        grid[1].xaxis.set_minor_locator(NullLocator())
    grid[3].set_xscale("symlog", linthresh=_NULL_Z, linscale=0.6)
    grid[3].axvspan(-_NULL_Z, _NULL_Z, color=style.tint("#C1541B", 0.3), linewidth=0, zorder=0)
    grid[3].xaxis.set_major_locator(FixedLocator([-100, -10, 0, 10, 100]))
    grid[3].xaxis.set_minor_locator(NullLocator())
    grid[3].xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "−"))
    _key(figure, rows)
    return figure


def _mark(row, styles):
    if row["token_order"] == "published":
        return {"marker": "x", "color": style.INK, "markersize": 5, "markeredgewidth": 1.3}
    look = styles[row["backbone"]]
    filled = row["token_order"] == "raster"
    return {
        "marker": look.marker,
        "markersize": 5,
        "markeredgecolor": look.color,
        "markeredgewidth": 1.1,
        "markerfacecolor": look.color if filled else "white",
    }


def _key(figure, rows):
    mark = {"linestyle": "", "markersize": 5, "markeredgecolor": style.INK}
    handles = [
        Line2D([], [], marker="o", markerfacecolor=style.INK, label="raster order", **mark),
        Line2D([], [], marker="o", markerfacecolor="white", label="permuted", **mark),
    ]
    if any(row["token_order"] == "published" for row in rows):
        handles.append(Line2D([], [], marker="x", label="published", **mark))
    images = {row["images"] for row in rows if row["images"] is not None}
    predicted = "what random order predicts"
    if images:
        span = " to ".join(f"{count:,.0f}" for count in sorted({min(images), max(images)}))
        predicted += f" (IQR: n = {span} images)"
    handles.append(
        Line2D([], [], marker="|", markersize=8, markeredgewidth=1.6, linestyle="",
               color="#C1541B", label=predicted)
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False,
                  fontsize=style.SMALL, handletextpad=0.3, columnspacing=1.2,
                  borderaxespad=0.2)  # fmt: skip
