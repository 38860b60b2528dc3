"""Figure 1b: Moran's I of every feature of the main sweep, by backbone, against the null."""

from visae.base.job import run
from visae.evals.results import read_arrays, read_result
from visae.figures import figure_1b, style


def body(snakemake):
    params = snakemake.params
    values, nulls = {backbone: [] for backbone in params.backbones}, {}
    for path in snakemake.input.scores:
        score = read_result(path)
        backbone = score["sae"]["backbone"]
        values[backbone].append(read_arrays(path)["moran"])
        nulls[backbone] = score["readings"]["null"]
    styles = style.backbone_styles(params.labels, params.backbones)
    figure = figure_1b.draw(values, nulls, styles)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
