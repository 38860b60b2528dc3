"""Rank the features of every SAE of a (sweep, backbone) on the probe-training images."""

import numpy as np

from visae.base.job import run
from visae.encoding.reductions import SaeReductions
from visae.probing.rankings import rank_features, write_rankings
from visae.probing.siblings import read_sibling_groups
from visae.probing.splits import read_split


def body(snakemake):
    reductions, rankings = list(snakemake.input.reductions), list(snakemake.output.rankings)
    saes = len(reductions) // len(snakemake.params.split_here)
    for number, (path, output) in enumerate(zip(reductions, rankings, strict=True)):
        dataset = number // saes
        with SaeReductions(path) as encoded:
            if snakemake.params.split_here[dataset]:
                train_mask = ~read_split(snakemake.input.split, encoded.image_ids)
            else:
                train_mask = np.ones(encoded.images, bool)
            groups = read_sibling_groups(snakemake.input.classes[dataset])
            ranked = rank_features(encoded.codes, encoded.labels, train_mask, groups)
        write_rankings(output, ranked)


run(body, snakemake)  # noqa: F821
