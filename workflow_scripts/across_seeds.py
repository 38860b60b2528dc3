"""Draw what stays and what changes when the backbones are pretrained again with other seeds."""

from visae.figures import across_seeds, style
from visae.job import run
from visae.tables.replicates import replicate_means, replicates
from visae.tables.scores import METRIC_LABELS, read_scores


def body(snakemake):
    params = snakemake.params
    studies = dict(zip(params.studies, snakemake.input.scores, strict=True))
    rows = {study: read_scores(path) for study, path in studies.items()}
    shares = replicates(rows, params.sweep).rows
    means = replicate_means(rows, dict.fromkeys(sweep for sweep, _ in params.arms)).rows
    figure = across_seeds.draw(
        shares, means, METRIC_LABELS, style.backbone_styles(params.labels), params.arms
    )
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
