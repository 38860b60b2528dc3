"""The control of M1: patches in raster order, permuted, and as published for MAE."""

from visae.base.job import run
from visae.tables.coherence import token_order_arms
from visae.tables.layout import write
from visae.tables.token_order import token_order_table


def body(snakemake):
    params, files = snakemake.params, snakemake.input
    arms = token_order_arms(
        params.arms, files.scores, files.raw, params.localization, files.published
    )
    write(token_order_table(arms), *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
