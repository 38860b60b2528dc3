"""Split the evaluation images for the probes: one split for every metric and every SAE."""

import numpy as np

from visae.base.job import run
from visae.images.index import read_index
from visae.probing.splits import stratified_split, write_split


def body(snakemake):
    files = (snakemake.input.index, snakemake.input.classes)
    images = read_index(*files).images
    labels = np.array([image.label for image in images])
    test_mask = stratified_split(labels, snakemake.params.test_fraction, snakemake.params.seed)
    write_split(snakemake.output.split, [image.image_id for image in images], test_mask, files)


run(body, snakemake)  # noqa: F821
