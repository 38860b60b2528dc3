"""Make a table or a figure: the product that the rule names, from its inputs and settings."""

import importlib

from visae.base.job import run
from visae.products import PRODUCTS
from visae.products.product import KINDS


def body(snakemake):
    params = snakemake.params
    made = PRODUCTS.module(params.product, "make").make(
        dict(snakemake.input.items()), params.settings
    )
    writer = importlib.import_module(KINDS[PRODUCTS[params.product].kind].writer)
    writer.write(made, dict(snakemake.output.items()), list(snakemake.input))


run(body, snakemake)  # noqa: F821
