"""Draw what stays and what changes when the backbones are pretrained again with other seeds."""

from visae.base.job import run
from visae.evals.shelf import labels
from visae.figures import across_seeds, style
from visae.tables.replicates import read_studies, replicate_means, replicates


def body(snakemake):
    params = snakemake.params
    studies = read_studies(params.studies, snakemake.input.scores)
    shares = replicates(studies, params.sweep).rows
    means = replicate_means(studies, dict.fromkeys(sweep for sweep, _ in params.arms)).rows
    figure = across_seeds.draw(
        shares, means, labels(), style.backbone_styles(params.labels), params.arms
    )
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
