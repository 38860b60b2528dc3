"""Index the splits of one data set."""

from visae.base.job import run
from visae.images.decoding import check_masks
from visae.images.index import check_disjoint, spread, write_classes, write_images
from visae.images.layouts import index_images


def body(snakemake):
    params = snakemake.params
    indices = {split: index_images(params.layout, params.root, split) for split in params.splits}
    check_disjoint(indices)
    for path, index, images in zip(
        snakemake.output.indices, indices.values(), params.images, strict=True
    ):
        index = spread(index, images)
        if any(record.mask for record in index.images):
            check_masks(index, params.root)
        write_images(path, index)
    write_classes(snakemake.output.classes, index)


run(body, snakemake)  # noqa: F821
