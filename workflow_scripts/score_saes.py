"""Fit the probes on a backbone's raw features: once, for every SAE that is held against them."""

from visae.job import run


def body(snakemake):
    raise NotImplementedError


run(body, snakemake)  # noqa: F821
