"""Figure 2a: does low reconstruction error mean that downstream information is preserved?"""

import numpy as np
from matplotlib.lines import Line2D

from visae.base import equal
from visae.figures import style
from visae.tables.layout import read
from visae.tables.scores import read_scores
from visae.tables.summaries import paired_scores

_METRICS = ("fvu", "preservation")


def make(inputs, settings):
    """See `draw`."""
    pairs = paired_scores(read_scores(inputs["scores"]), settings["sweep"], *_METRICS)
    agreement = None
    if "metric_agreement" in inputs:
        (agreement,) = [
            row
            for row in read(inputs["metric_agreement"]).rows
            if (row["first"], row["second"]) == _METRICS
        ]
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(pairs, agreement, styles)


@style.styled
def draw(rows, agreement, styles):
    """FVU (M2) against preservation (M3), one point per SAE, from `summaries.paired_scores`.

    Darker points have a larger K; the large mark is the backbone's mean. `agreement` is the row
    of `agreement.metric_agreement` for the two metrics: ρ over the backbones' means, None of one
    backbone. FVU is lower-is-better, so agreement of the metrics is a negative ρ.
    """
    targets = style.grades(row["sparsity"] for row in rows)
    known = [row for row in rows if row["fvu"] is not None and row["preservation"] is not None]
    figure = style.new_figure(style.COLUMN_WIDTH, 2.6)
    axes = figure.subplots()
    means = {}
    for backbone, look in styles.items():
        own = [row for row in known if row["backbone"] == backbone]
        if not own:
            continue
        shade = [0.35 + 0.5 * style.grade(row["sparsity"], targets) for row in own]
        axes.scatter(
            [row["fvu"] for row in own], [row["preservation"] for row in own],
            color=[style.tint(look.color, share) for share in shade], marker=look.marker, s=11,
            linewidths=0,
        )  # fmt: skip
        means[backbone] = np.mean([[row["fvu"], row["preservation"]] for row in own], axis=0)
        axes.scatter(*means[backbone], color=look.color, marker=look.marker, s=48,
                     edgecolors="white", linewidths=0.9, zorder=3)  # fmt: skip
    axes.margins(0.09)
    axes.axhline(1, color=style.MUTED, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
    axes.set_xlabel("M2: fraction of variance unexplained (lower is better)")
    axes.set_ylabel("M3: accuracy kept (higher is better)")
    axes.set_title(_summary(rows, known, agreement), loc="left",
                   fontsize=style.SMALL, color=style.MUTED)  # fmt: skip
    _key(figure, means, styles)
    return figure


def _key(figure, means, styles):
    """Names right of the plot, in the order in which the means stand."""
    order = [b for group in equal.ranked({b: mean[1] for b, mean in means.items()}) for b in group]
    handles = [
        Line2D([], [], color=styles[b].color, marker=styles[b].marker, markersize=5, linestyle="",
               label=styles[b].label)
        for b in order
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside right center", frameon=False, handlelength=0.8,
                  labelcolor=[styles[b].color for b in order], title="mean\n(small: SAEs,\n"
                  "darker:\nlarger K)", title_fontsize=style.SMALL, alignment="left",
                  borderaxespad=0.2, handletextpad=0.4)  # fmt: skip


def _summary(rows, known, agreement):
    missing = f" ({len(rows) - len(known)} missing)" if len(known) < len(rows) else ""
    text = f"n = {len(known)} SAEs{missing}"
    if agreement is None:
        return text
    if agreement["rho"] is None:
        return f"{text}; ρ over backbones not computable"
    exact = "" if agreement["p_exact"] is None else f" (exact {agreement['p_exact']:.3f})"
    return (
        f"{text}; over {agreement['n']} backbone means\n"
        f"ρ = {agreement['rho']:.2f}, p = {agreement['p_t']:.3f}{exact}".replace("-", "−")
    )
