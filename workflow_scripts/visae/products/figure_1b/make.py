"""Figure 1b: is a backbone's SAE feature spatially coherent? Moran's I per feature, by backbone."""

import numpy as np

from visae.evals.results import read_arrays, read_result
from visae.figures import style

_FINEST, _COARSEST = 160, 12  # bins over the whole range
_RIDGE_HEIGHT = 0.72  # of the distance between two rows


def make(inputs, settings):
    """See `draw`."""
    values, nulls = {backbone: [] for backbone in settings["backbones"]}, {}
    for path in inputs["scores"]:
        score = read_result(path)
        backbone = score["sae"]["backbone"]
        values[backbone].append(read_arrays(path, "moran")["moran"])
        nulls[backbone] = score["readings"]["null"]
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(values, nulls, styles)


@style.styled
def draw(values, nulls, styles, unit="feature"):
    """Distributions of per-feature Moran's I, one ridge per backbone, against the null.

    `values[backbone]` is a list of arrays, one per SAE (NaN: feature not evaluable); `nulls`
    maps a backbone to −1/(P−1); `styles` come from `style.backbone_styles` and give the order.
    Ridges are histograms over the pooled features of all SAEs, each scaled to its own peak; the
    dot is the median, the bar the interquartile range.
    """
    pooled = {
        backbone: np.concatenate([_evaluable(array) for array in values[backbone]] or [np.empty(0)])
        for backbone in styles
    }
    low, high = _range(pooled, nulls)
    figure = style.new_figure(style.COLUMN_WIDTH, 0.7 + 0.42 * len(styles))
    axes = figure.subplots()
    for row, (backbone, look) in enumerate(styles.items()):
        base = len(styles) - 1 - row
        axes.axhline(base, color=style.FAINT, linewidth=0.6, zorder=0)
        axes.plot(
            2 * [nulls[backbone]], [base - 0.16, base + 0.84], color=style.INK, linewidth=0.8,
            linestyle=(0, (2, 1.5)), zorder=3,
        )  # fmt: skip
        _ridge(axes, pooled[backbone], low, high, base, look)
        _annotate(axes, pooled[backbone], len(values[backbone]), base, unit)
    axes.set_yticks(
        range(len(styles)), [look.label for look in reversed(styles.values())], fontsize=7.5
    )
    for tick, look in zip(axes.get_yticklabels(), reversed(styles.values()), strict=True):
        tick.set_color(look.color)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.28, len(styles) - 0.05)
    axes.set_xlim(low, high)
    first = next(iter(styles))
    axes.annotate(
        "null −1/(P−1)", (nulls[first], len(styles) - 0.16), xytext=(3, 1),
        textcoords="offset points", fontsize=style.SMALL, color=style.INK, va="bottom",
        annotation_clip=False,
    )  # fmt: skip
    axes.set_xlabel(f"Moran's I per {unit}, mean over its images")
    return figure


def _evaluable(array):
    array = np.asarray(array, dtype=np.float64).ravel()
    return array[~np.isnan(array)]


def _range(pooled, nulls):
    """Limits that hold all nulls and all but the outermost 0.1 % of each backbone."""
    ends = [*nulls.values()]
    for values in pooled.values():
        if len(values):
            ends += np.percentile(values, [0.1, 99.9]).tolist()
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low) or 0.05
    return low - margin, high + margin


def _ridge(axes, values, low, high, base, look):
    if not len(values):
        return
    quarter, median, three_quarters = np.percentile(values, [25, 50, 75])
    # The rule of Freedman and Diaconis, within limits.
    width = 2 * (three_quarters - quarter) / len(values) ** (1 / 3)
    bins = np.clip((high - low) / max(width, 1e-12), _COARSEST, _FINEST)
    edges = np.linspace(low, high, round(bins) + 1)
    # Values beyond the range are counted in the outermost bins rather than dropped.
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    heights = base + _RIDGE_HEIGHT * counts / counts.max()
    axes.stairs(heights, edges, baseline=base, fill=True, color=style.tint(look.color, 0.45))
    axes.stairs(heights, edges, baseline=None, color=look.color, linewidth=0.7)
    axes.plot([quarter, three_quarters], 2 * [base - 0.09], color=look.color, linewidth=2.2,
              solid_capstyle="butt", zorder=4)  # fmt: skip
    axes.plot(median, base - 0.09, marker="o", markersize=3.2, markerfacecolor="white",
              markeredgecolor=look.color, markeredgewidth=1.0, zorder=5)  # fmt: skip


def _annotate(axes, values, saes, base, unit):
    """Numbers of a backbone right of its ridge."""
    if len(values):
        quarter, median, three_quarters = np.percentile(values, [25, 50, 75])
        text = (
            f"median {median:.3f}\nIQR {three_quarters - quarter:.3g}\nn = {len(values):,}"
        ).replace("-", "−")
    else:
        text = f"no evaluable\n{unit}"
    if saes > 1:
        text += f" ({saes} SAEs)"
    axes.text(1.02, base + 0.3, text, transform=axes.get_yaxis_transform(), va="center",
              fontsize=style.SMALL, linespacing=1.15)  # fmt: skip
