"""Figure 1a: the metric profile of each backbone, from worst (0) to best (1) per metric."""

from visae.figures import style
from visae.tables.layout import read


def make(inputs, settings):
    """See `draw`."""
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(read(inputs["backbone_means"]).rows, settings["metrics"], styles)


@style.styled
def draw(rows, labels, styles):
    """One line per backbone over the metrics, from the rows of `summaries.backbone_means`.

    `labels` maps a metric to its name. A metric that a backbone lacks breaks its line; a metric
    that nobody has is named as missing below its place.
    """
    metrics = [metric for metric in labels if any(row["metric"] == metric for row in rows)]
    values = {(row["backbone"], row["metric"]): row["normalised"] for row in rows}
    figure = style.new_figure(style.COLUMN_WIDTH, 2.35)
    axes = figure.subplots()
    axes.set_ylim(-0.06, 1.06)
    axes.set_xlim(-0.2, len(metrics) - 0.8)
    for x in range(len(metrics)):
        axes.axvline(x, color=style.FAINT, linewidth=0.6, zorder=0)
    ends = {}
    for backbone, look in styles.items():
        points = [values.get((backbone, metric)) for metric in metrics]
        heights = [float("nan") if value is None else value for value in points]
        axes.plot(heights, color=look.color, marker=look.marker, clip_on=False)
        known = [(x, value) for x, value in enumerate(points) if value is not None]
        if known:
            ends[backbone] = known[-1]
    for x, metric in enumerate(metrics):
        if all(values.get((backbone, metric)) is None for backbone in styles):
            axes.text(x, 0.02, "no value, or all equal", rotation=90, ha="right", va="bottom",
                      fontsize=style.SMALL, color=style.MUTED)  # fmt: skip
    axes.set_xticks(
        range(len(metrics)), [labels[metric].replace(" ", "\n", 1) for metric in metrics],
        rotation=40, ha="right", rotation_mode="anchor", linespacing=0.95,
    )  # fmt: skip
    axes.set_yticks([0, 1], ["worst", "best"])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("score, scaled per metric")
    saes = sum(row["saes"] for row in rows if row["metric"] == metrics[0])
    missing = sum(row["missing"] for row in rows)
    note = f"means over n = {saes} SAEs" + (f"; {missing} scores missing" if missing else "")
    axes.set_title(note, loc="right", fontsize=style.SMALL, color=style.MUTED)
    style.label_right(axes, ends, styles)
    return figure
