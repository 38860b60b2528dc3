"""Fetch published SAEs from the Hugging Face hub."""

from visae.base.job import run
from visae.sae.exchange.hub import fetch


def body(snakemake):
    fetch(snakemake.params.source, snakemake.params.saes, snakemake.output.folder)


run(body, snakemake)  # noqa: F821
