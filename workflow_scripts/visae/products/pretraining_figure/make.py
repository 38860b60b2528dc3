"""What the study's own pretraining brought: probe accuracy and rank against random weights."""

import statistics
from pathlib import Path

from visae.figures import style
from visae.pretraining.records import read_log
from visae.tables.layout import read


def make(inputs, settings):
    """See `draw`."""
    logs = {Path(path).parent.name: read_log(path) for path in inputs["logs"]}
    styles = style.backbone_styles(settings["labels"], settings["backbones"])
    return draw(read(inputs["pretraining_table"]).rows, logs, styles)


@style.styled
def draw(rows, logs, styles):
    """Probe accuracy and effective rank before and after, and the losses, backbone by backbone.

    `rows` are those of `tables.pretraining.pretraining_table`: one arrow per study. `logs` maps
    every backbone of `styles` to its records of `log.jsonl`.
    """
    figure = style.new_figure(style.PAGE_WIDTH, 1.0 + 0.3 * len(styles))
    accuracy, rank, loss = figure.subplots(1, 3, width_ratios=(1.5, 0.8, 1))
    for y, (backbone, look) in enumerate(styles.items()):
        own = [row for row in rows if row["backbone"] == backbone]
        _arrows(accuracy, y, look, [(100 * r["accuracy_random"], 100 * r["accuracy"]) for r in own])
        _arrows(rank, y, look, [(r["rank_random"], r["rank"]) for r in own])
        accuracy.annotate(_gain(own), (1, y), (4, 0), xycoords=("axes fraction", "data"),
                          textcoords="offset points", va="center", fontsize=style.SMALL,
                          color=style.MUTED)  # fmt: skip
    accuracy.annotate("gain ± standard error", (1, 1), (4, 0), xycoords="axes fraction",
                      textcoords="offset points", va="bottom", fontsize=style.SMALL,
                      color=style.MUTED)  # fmt: skip
    for axes in (accuracy, rank):
        axes.set_ylim(len(styles) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(styles)), [])
        axes.margins(x=0.12)
    accuracy.set_yticklabels([look.label for look in styles.values()])
    for tick, look in zip(accuracy.get_yticklabels(), styles.values(), strict=True):
        tick.set_color(look.color)
    images = max((row["evaluation_images"] for row in rows), default=0)
    accuracy.set_xlabel(
        f"accuracy of a linear probe (%, n = {images} images),\n"
        "random weights (○) to pretrained (●)"
    )
    rank.set_xlabel("effective rank of\nthe image features")
    rank.set_xlim(left=0)
    _losses(loss, logs, styles)
    return figure


def _arrows(axes, y, look, pairs):
    axes.axhline(y, color=style.FAINT, linewidth=0.6, zorder=0)
    for i, (before, after) in enumerate(pairs):
        height = y + 0.2 * (i - (len(pairs) - 1) / 2)
        axes.plot([before, after], 2 * [height], color=look.color, linewidth=0.9, zorder=2)
        axes.plot(before, height, marker=look.marker, color=look.color, markerfacecolor="white",
                  zorder=3)  # fmt: skip
        axes.plot(after, height, marker=look.marker, color=look.color, zorder=4)


def _gain(rows):
    """Mean gain over studies ± its standard error: between studies, or by images if only one."""
    gains = [100 * row["gain"] for row in rows]
    if len(gains) > 1:
        error = statistics.stdev(gains) / len(gains) ** 0.5
    else:
        error = 100 * rows[0]["gain_standard_error"]
    text = f"{statistics.fmean(gains):+.1f} ± {error:.1f}".replace("-", "−")
    return text if statistics.fmean(gains) > 0 else f"{text}\nnot above random"


def _losses(axes, logs, styles):
    ends = {}
    for backbone, look in styles.items():
        records = [record for record in logs[backbone] if record["phase"] == "pretraining"]
        relative = [record["loss"] / records[0]["loss"] for record in records]
        axes.plot([record["images"] / 1e3 for record in records], relative, color=look.color)
        ends[backbone] = (records[-1]["images"] / 1e3, relative[-1])
    axes.set_ylim(0, 1.05)
    axes.set_xlim(left=0)
    axes.set_xlabel("views of images (thousand)")
    axes.set_ylabel("loss / first loss")
    style.label_right(axes, ends, styles)
