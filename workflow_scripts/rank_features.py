"""Rank the features of every SAE of a (sweep, backbone) on the probe-training images."""

import numpy as np

from visae.base import paths
from visae.base.job import run
from visae.encoding.reductions import SaeReductions
from visae.probing.rankings import rank_features, write_rankings
from visae.probing.siblings import read_sibling_groups
from visae.probing.splits import read_split


def body(snakemake):
    params = snakemake.params
    results, place = paths.of_job(snakemake)
    for dataset, split in params.splits.items():
        classes = results.classes(dataset)
        groups = read_sibling_groups(classes)
        for sae in params.saes:
            inputs = [results.reductions(sae, split, place), classes]
            with SaeReductions(inputs[0]) as encoded:
                if dataset == params.evaluation:
                    inputs += [snakemake.input.split]
                    train_mask = ~read_split(snakemake.input.split, encoded.image_ids)
                else:
                    train_mask = np.ones(encoded.images, bool)
                ranked = rank_features(encoded.codes, encoded.labels, train_mask, groups)
            write_rankings(results.rankings(sae, dataset, place), ranked, inputs)


run(body, snakemake)  # noqa: F821
