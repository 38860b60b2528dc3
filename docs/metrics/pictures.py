"""The pictures of the metrics' pages, drawn from a finished demo.

python docs/metrics/pictures.py results/demo
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import visae
from visae.figures.style import (
    FAINT,
    INK,
    MUTED,
    VARIANCE_COLORS,
    backbone_styles,
    label_right,
    new_figure,
    styled,
)

HERE = Path(__file__).parent
BLUE, ORANGE = VARIANCE_COLORS["backbone"], VARIANCE_COLORS["configuration"]
WIDTH = 6.6
DPI = 190

SAE = "siglip_small/layer3/batchtopk_8x_k8"
"""Whose features and probes are shown."""


def localization(study, sae):
    """Features from the lowest to the highest M1, each on an image that it covers in part."""
    arrays = _arrays(study, "localization")
    known = np.flatnonzero(np.isfinite(arrays["moran"]))
    order = known[np.argsort(arrays["moran"][known])]
    picked = [order[round(share * (len(order) - 1))] for share in (0, 1 / 3, 2 / 3, 1)]
    figure = new_figure(WIDTH, 1.3)
    figure.get_layout_engine().set(wspace=0, w_pad=0.01)
    axes = figure.subplots(1, 11, width_ratios=[1, 1, 0.25] * 3 + [1, 1])
    for gap in axes[2::3]:
        gap.axis("off")
    for place, feature in enumerate(picked):
        item = min(sae.exemplars(int(feature), 16), key=lambda e: abs((e.map > 0).mean() - 0.5))
        left, right = axes[3 * place], axes[3 * place + 1]
        left.imshow(_square(item.path))
        right.imshow(item.map, cmap="magma", vmin=0)
        left.set_title(f"I = {arrays['moran'][feature]:.2f}", loc="left", fontweight="bold")
        left.set_xlabel(f"feature {feature}", loc="left")
    for each in axes:
        _bare(each)
    return figure


def fvu(study, sae):
    """FVU against the number of active features; dotted: fewer features in all."""
    rows = _headlines(study, "fvu")
    figure = new_figure(WIDTH, 2.3)
    axes = figure.subplots(1, 2, width_ratios=[1, 0.35])
    axes[1].axis("off")
    labels = {name: entry["label"] for name, entry in study.study.backbones.items()}
    styles = backbone_styles(labels)
    ends = {}
    widest = rows.expansion_factor.max()
    for (backbone, factor), own in rows.groupby(["backbone", "expansion_factor"], sort=False):
        line, look = own.sort_values("k"), styles[backbone]
        style = "-" if factor == widest else ":"
        axes[0].plot(line.k, line.value, style, color=look.color, marker=look.marker)
        if factor == widest:
            ends[backbone] = (line.k.iloc[-1], line.value.iloc[-1])
    axes[0].set(
        xlabel="K, active features per patch", ylabel="FVU (lower is better)", ylim=(0, None)
    )
    axes[0].set_xticks(sorted(set(rows.k)))
    label_right(axes[0], ends, styles)
    return figure


def preservation(study, sae):
    """Accuracies of the probe on raw and on reconstructed features, and of a probe of their own."""
    kinds = {
        "accuracy_raw": ("raw features", INK, "|"),
        "accuracy_reconstructed": ("reconstructions, the same probe", BLUE, "o"),
        "accuracy_retrained": ("reconstructions, a probe of their own", ORANGE, "D"),
    }
    scores = _main(study)
    scores = scores[scores.expansion_factor == scores.expansion_factor.max()]
    rows = scores[(scores.metric == "preservation") & scores.reading.isin(kinds)]
    wide = rows.pivot_table("value", ["backbone", "k"], "reading").sort_index()
    figure = new_figure(WIDTH, 2.7)
    axes = figure.subplots()
    names = [f"{study.study.backbones[b]['label']}, K = {k:g}" for b, k in wide.index]
    heights = np.arange(len(wide))[::-1]
    for kind, (label, color, marker) in kinds.items():
        axes.plot(
            wide[kind], heights, marker, color=color, label=label, ms=8 if marker == "|" else 4
        )
    axes.hlines(heights, wide.min(axis=1), wide.max(axis=1), color=FAINT, zorder=0)
    axes.set(xlabel="accuracy on test images", yticks=heights, yticklabels=names)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure


def sparse_probing(study, sae):
    """A class's best feature, on images of that class and on all others; then areas by budget."""
    arrays = _arrays(study, "sparse_probing")
    figure = new_figure(WIDTH, 2.3)
    axes = figure.subplots(1, 2)
    auc = arrays["auc"]
    for row in auc:
        axes[0].plot(arrays["budgets"], row, color=FAINT, linewidth=0.6, zorder=0)
    axes[0].plot(arrays["budgets"], auc.mean(axis=0), color=BLUE, marker="o")
    axes[0].annotate("mean", (arrays["budgets"][0], auc[:, 0].mean()), (-3, 6), color=BLUE,
                     textcoords="offset points")  # fmt: skip
    axes[0].set(
        xscale="log", xlabel="features given to the probe", ylabel="ROC-AUC, a line per class"
    )
    axes[0].set_xticks(arrays["budgets"], [f"{b}" for b in arrays["budgets"]])
    axes[0].minorticks_off()
    axes[0].axhline(0.5, color=MUTED, linestyle=":", linewidth=0.8)
    axes[0].annotate("chance", (arrays["budgets"][-1], 0.5), (0, 3), color=MUTED, ha="right",
                     textcoords="offset points")  # fmt: skip
    bins = np.linspace(0.4, 1, 25)
    axes[1].hist(auc[:, 0], bins, color=ORANGE, alpha=0.8)
    axes[1].hist(auc[:, -1], bins, color=BLUE, alpha=0.8)
    axes[1].set(xlabel="ROC-AUC", ylabel="classes")
    axes[1].annotate(
        f"{arrays['budgets'][0]} feature", (0.05, 0.9), xycoords="axes fraction", color=ORANGE
    )
    axes[1].annotate(
        f"{arrays['budgets'][-1]} features", (0.05, 0.78), xycoords="axes fraction", color=BLUE
    )
    return figure


def monosemanticity(study, sae):
    """The strongest images of a feature of high M5 and of one of low M5."""
    arrays = _arrays(study, "monosemanticity")
    order = np.argsort(arrays["monosemanticity"])
    order = [o for o in order if len(sae.exemplars(int(arrays["features"][o]), 8)) == 8]
    figure = new_figure(WIDTH, 3.05)
    axes = figure.subplots(3, 8)
    places = (order[-1], order[round(0.8 * len(order))], order[0])
    for row, place in zip(axes, places, strict=True):
        feature = int(arrays["features"][place])
        for each, item in zip(row, sae.exemplars(feature, 8), strict=True):
            each.imshow(_square(item.path))
            _bare(each)
        value = arrays["monosemanticity"][place]
        row[0].set_title(f"feature {feature}: {value:.2f}", loc="left", fontweight="bold")
    return figure


def cross_domain(study, sae):
    """Accuracies on each other data set: raw features, reconstructions, codes."""
    scores = _main(study)
    backbone, _, name = SAE.split("/")
    rows = scores[
        (scores.metric == "cross_domain") & (scores.backbone == backbone) & (scores.sae == name)
    ]
    values = dict(zip(rows.reading, rows.value, strict=True))
    datasets = [r.removesuffix("_preservation") for r in values if r.endswith("_preservation")]
    kinds = {
        "accuracy_raw": ("raw features", MUTED),
        "accuracy_reconstructed": ("reconstructions", BLUE),
        "accuracy_codes_at_128": ("128 codes", ORANGE),
    }
    figure = new_figure(WIDTH, 2.3)
    axes = figure.subplots()
    for number, (kind, (label, color)) in enumerate(kinds.items()):
        places = np.arange(len(datasets)) + 0.27 * (number - 1)
        axes.bar(places, [values[f"{d}_{kind}"] for d in datasets], 0.25, color=color, label=label)
    for place, dataset in enumerate(datasets):
        axes.annotate(f"{values[f'{dataset}_preservation']:.2f}", (place, 0), (0, -22), ha="center",
                      textcoords="offset points", fontweight="bold")  # fmt: skip
    axes.set_xticks(range(len(datasets)), datasets)
    axes.set(ylabel="accuracy on test images", ylim=(0, 1), xlabel="\nbold: reconstructed / raw")
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure


def absorption(study, sae):
    """F1 with one and with four features of every task, and which of them count as absorbed."""
    arrays = _arrays(study, "absorption")
    alpha, beta = (study.study.config["metrics"]["absorption"][key] for key in ("alpha", "beta"))
    one, four = arrays["f1_one"], arrays["f1_four"]
    absorbed = (one < alpha) & (four > beta)
    figure = new_figure(WIDTH, 2.6)
    axes = figure.subplots(1, 2, width_ratios=[1, 1.3])
    axes[1].axis("off")
    axes[0].fill_between([-0.03, alpha], beta, 1.05, color=ORANGE, alpha=0.18, linewidth=0)
    shake = np.random.default_rng(0).uniform(-0.012, 0.012, (2, len(one)))
    axes[0].scatter(
        one + shake[0], four + shake[1], 12, c=np.where(absorbed, ORANGE, MUTED), linewidth=0
    )
    axes[0].set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.05), aspect="equal",
                xlabel="F1 with the best feature", ylabel="F1 with the best four")  # fmt: skip
    axes[1].annotate(
        f"absorbed: {absorbed.sum()} of {len(one)} tasks\n"
        f"F1 of one feature below {alpha:g},\nof four above {beta:g}",
        (0, 0.75), xycoords="axes fraction", color="#9A6700", va="top",
    )  # fmt: skip
    axes[1].annotate("a point is a class against its siblings", (0, 0.3), xycoords="axes fraction",
                     color=MUTED)  # fmt: skip
    return figure


def _main(study):
    scores = study.scores()
    return scores[scores.sweep == next(iter(study.study.sweeps))]


def _headlines(study, metric):
    scores = _main(study)
    return scores[(scores.reading == "headline") & (scores.metric == metric)]


def _arrays(study, metric):
    backbone, layer, name = SAE.split("/")
    return np.load(study.paths.metric(name, metric, "npz", f"{backbone}/{layer}"))


def _square(path, side=128):
    image = Image.open(path).convert("RGB")
    return np.asarray(image.resize((side, side)))


def _bare(axes):
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


@styled
def main(folder):
    """Draws each picture beside its page."""
    from visae.evals.shelf import paper_metrics

    study = visae.open_study(folder)
    sae = study.sae(SAE)
    for name in paper_metrics():
        png = io.BytesIO()
        globals()[name](study, sae).savefig(png, format="png", dpi=DPI)
        Image.open(png).convert("RGB").save(HERE / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    main(sys.argv[1])
