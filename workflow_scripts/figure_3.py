"""Figure 3: share of each metric's variance that the backbone and the hyperparameters explain."""

from visae.base.job import run
from visae.evals.shelf import labels
from visae.figures import figure_3, style
from visae.tables.paper import table_3
from visae.tables.published import read_published
from visae.tables.scores import read_scores


def body(snakemake):
    scores = read_scores(snakemake.input.scores)
    shares = table_3(scores, snakemake.params.sweep, seed=snakemake.params.seed)
    printed = read_published(snakemake.input.published)
    published = {
        metric: printed[key].value
        for metric in labels()
        if (key := f"table_3/{metric}/eta2_backbone") in printed
    }
    figure = figure_3.draw(shares.rows, labels(), published)
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
