"""Draw what the study's own pretraining brought."""

import json
from pathlib import Path

from visae.base.job import run
from visae.figures import pretraining, style
from visae.tables.pretraining import pretraining_table


def body(snakemake):
    logs = {
        Path(path).parent.name: [json.loads(line) for line in Path(path).read_text().splitlines()]
        for path in snakemake.input.logs
    }
    styles = style.backbone_styles(snakemake.params.labels, snakemake.params.backbones)
    figure = pretraining.draw(pretraining_table(snakemake.input.sanity).rows, logs, styles)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
