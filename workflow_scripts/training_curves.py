"""Draw the training curves of every SAE of the main sweep."""

import json
from pathlib import Path

from visae.base.job import run
from visae.figures import style, training_curves
from visae.sae.specs import SaeSpec


def training_run(path):
    """What the figure needs of one `saes/{backbone}/layer{layer}/{sae}/training.jsonl`."""
    path = Path(path)
    spec = SaeSpec.from_name(path.parent.name)
    return {
        "backbone": path.parents[2].name,
        "expansion_factor": spec.expansion_factor,
        "sparsity": spec.sparsity,
        "records": [json.loads(line) for line in path.read_text("utf-8").splitlines()],
    }


def body(snakemake):
    runs = [training_run(path) for path in snakemake.input.logs]
    figure = training_curves.draw(
        runs, style.backbone_styles(snakemake.params.labels, snakemake.params.backbones)
    )
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
