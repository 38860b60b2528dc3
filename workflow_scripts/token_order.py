"""Draw the control of M1: patches in raster order, permuted, and as published for MAE."""

from visae.base.job import run
from visae.figures import style, token_order
from visae.tables.coherence import token_order_arms
from visae.tables.token_order import token_order_table


def body(snakemake):
    params, files = snakemake.params, snakemake.input
    arms = token_order_arms(
        params.arms, files.scores, files.raw, params.localization, files.published
    )
    figure = token_order.draw(token_order_table(arms).rows, style.backbone_styles(params.labels))
    style.save(figure, snakemake.output.pdf, snakemake.output.png)


run(body, snakemake)  # noqa: F821
