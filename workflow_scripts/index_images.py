"""Index the splits of one data set."""

from visae.images.index import check_disjoint, spread, write_classes, write_images
from visae.images.layouts import index_images
from visae.job import run


def body(snakemake):
    params = snakemake.params
    indices = {split: index_images(params.layout, params.root, split) for split in params.splits}
    check_disjoint(indices)
    for path, index, images in zip(
        snakemake.output.indices, indices.values(), params.images, strict=True
    ):
        write_images(path, spread(index, images))
    write_classes(snakemake.output.classes, index)


run(body, snakemake)  # noqa: F821
