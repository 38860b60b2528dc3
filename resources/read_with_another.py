"""The demo's SAEs, read with the activations of another library's implementation.

python resources/read_with_another.py study > another.yaml
snakemake --profile profiles/local --configfile another.yaml -- results/another/tables/scores.csv
python resources/read_with_another.py draw

It starts from the finished demo. `study` writes a study of the demo's SigLIP and its SAEs. The
backbone is computed as it is, with timm's numbers for the same pixels, and with all of timm's
implementation. At 48 pixels the table of positions is resampled, by either library. `draw` writes
docs/images/implementations.png.
"""

import csv
import sys
from pathlib import Path

import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from visae.evals.shelf import EVALS
from visae.figures.style import COLUMN_WIDTH, FAINT, INK, SMALL, styled

ROOT = Path(__file__).parents[1]
STUDY, PICTURE = "another", ROOT / "docs/images/implementations.png"
SAES = tuple(f"batchtopk_{factor}x_k{k}" for factor in (4, 8) for k in (8, 24))
READ, EVALUATOR = "siglip_small", "dino_small"
SMALLER = 48  # pixels of the 64 that the weights were made for: 36 positions of 64

# Backbone → what of the demo's entry changes. Images are squashed, as the demo's are.
SQUASHED = {"resize_mode": "squash", "interpolation": "bicubic"}
CONDITIONS = {
    "own": {},
    "numbers": {"implementation": "timm", "preprocessing": SQUASHED | {"resize": 64}},
    "whole": {"implementation": "timm"},
    "smaller": {"image_size": SMALLER},
    "resampled": {
        "image_size": SMALLER,
        "implementation": "timm",
        "preprocessing": SQUASHED | {"resize": SMALLER},
    },
}


def study():
    """The config of the study, from the demo's."""
    config = yaml.safe_load((ROOT / "profiles/demo/study.yaml").read_text(encoding="utf-8"))
    entries = {}
    for name in (READ, EVALUATOR):
        entry = config["backbones"][name]
        del entry["pretraining"]
        entries[name] = entry | {"weights": f"results/demo/pretraining/{name}/weights.safetensors"}
    read = entries[READ]
    # Of weights for images of 64 pixels, whatever is read.
    read["options"] = read["options"] | {"image_size": read["image_size"]}
    backbones = {name: read | changes | {"label": name} for name, changes in CONDITIONS.items()}
    config["datasets"] = {
        name: config["datasets"][name] | {"generated": False}
        for name in ("photographs", "organisms")
    }
    other = config["metrics"]["cross_domain"]
    other["datasets"] = {other["headline"]: other["datasets"][other["headline"]]}
    kept = ("seed", "granularity", "datasets", "extraction", "training", "evaluation", "metrics")
    saes = {sae: f"results/demo/saes/{READ}/layer{read['layer']}/{sae}" for sae in SAES}
    sweep = {
        "family": "batchtopk",
        "backbones": list(CONDITIONS),
        "saes": {
            sae: {"folder": dict.fromkeys(CONDITIONS, folder)} for sae, folder in saes.items()
        },
    }
    return {
        "study": STUDY,
        **{key: config[key] for key in kept},
        "backbones": {EVALUATOR: entries[EVALUATOR] | {"evaluator": None}, **backbones},
        "sweeps": {"read": sweep},
        "report": {"claims": "never"},
    }


# ---------------------------------------------------------------- the figure

ROWS = {
    "own": "as trained",
    "numbers": "timm's GELU",
    "whole": "timm",
    "smaller": "48 pixels",
    "resampled": "48, timm's table",
}
"""Backbone → what it is called, from the top."""


def scores():
    """{backbone: {metric: {SAE: M1 … M7}}} of the rows."""
    found = {}
    with (ROOT / "results" / STUDY / "tables/scores.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["reading"] == "headline" and row["sae"] in SAES and row["value"]:
                of_metric = found.setdefault(row["backbone"], {}).setdefault(row["metric"], {})
                of_metric[row["sae"]] = float(row["value"])
    return found


@styled
def draw():
    """A panel per metric: each SAE a line through the rows, their mean a bar."""
    found = scores()
    metrics = sorted(found["own"], key=lambda name: EVALS[name].number)
    figure = Figure(figsize=(COLUMN_WIDTH, 5.9), layout="constrained")
    axes = figure.subplots(4, 2, sharey=True).flatten()
    places = [0.0, 1.0, 2.0, 3.6, 4.6]
    for axis, metric in zip(axes, metrics, strict=False):
        entry = EVALS[metric]
        better = "higher" if entry.higher_is_better else "lower"
        axis.set_title(f"M{entry.number} {entry.label}", loc="left", fontsize=7)
        axis.set_xlabel(f"{better} is better", fontsize=SMALL)
        for sae in SAES:
            values = [found[backbone][metric].get(sae) for backbone in ROWS]
            for part in (slice(0, 3), slice(3, 5)):
                axis.plot(values[part], places[part], color=FAINT, zorder=1)
            axis.plot(values, places, "o", color="#0072B2", markersize=2.6, zorder=2)
        for place, backbone in zip(places, ROWS, strict=True):
            values = list(found[backbone][metric].values())
            axis.plot([sum(values) / len(values)], [place], "|", color=INK, markersize=9)
        axis.set_yticks(places, list(ROWS.values()))
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.tick_params(axis="y", length=0, labelsize=SMALL)
        axis.set_ylim(5.2, -0.6)
        axis.margins(x=0.12)
    axes[-1].set_axis_off()
    axes[-1].text(
        0,
        0.9,
        "dot: an SAE\nbar: the mean of four",
        va="top",
        fontsize=SMALL,
        transform=axes[-1].transAxes,
    )
    figure.savefig(PICTURE)


if __name__ == "__main__":
    if sys.argv[1:] == ["study"]:
        yaml.safe_dump(study(), sys.stdout, sort_keys=False)
    else:
        draw()
