"""Table 1: how the SAEs of the main sweep were trained."""

from pathlib import Path

import yaml

from visae.base.job import run
from visae.tables.layout import write
from visae.tables.settings import table_1


def body(snakemake):
    params = snakemake.params
    widths = {
        backbone: yaml.safe_load(Path(path).read_text("utf-8"))["input_dim"]
        for backbone, path in zip(params.backbones, snakemake.input.saes, strict=True)
    }
    table = table_1(params.config, params.sweep, widths)
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
