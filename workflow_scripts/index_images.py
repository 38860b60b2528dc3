"""Index the splits of one data set, and note what it is made of."""

from visae.base import paths
from visae.base.job import run
from visae.images import inventory
from visae.images.classes import unified
from visae.images.copies import check_copies, check_disjoint
from visae.images.decoding import check_masks
from visae.images.index import spread, write_classes, write_images
from visae.images.layouts import LAYOUTS, index_images


def body(snakemake):
    params, output = snakemake.params, snakemake.output
    listed = {
        split: index_images(
            params.layout, params.root, split, params.options, params.labels[split], params.shares
        )
        for split in params.splits
    }
    whole, other_classes = unified(listed, params.root)
    check_disjoint(whole)
    indices = {split: spread(index, params.splits[split]) for split, index in whole.items()}
    copies = check_copies(params.root, indices)
    results, _ = paths.of_job(snakemake)
    for split, index in indices.items():
        if any(record.mask for record in index.images):
            check_masks(index, params.root)
        write_images(results.index(f"{params.dataset}/{split}"), index)
    write_classes(output.classes, max(whole.values(), key=lambda index: len(index.classes)))
    records = [record for index in whole.values() for record in index.images]
    entries = inventory.take(params.root, records, LAYOUTS[params.layout].lists)
    inventory.write(output.inventory, entries)
    told = [sentence for sentence in (other_classes, copies) if sentence]
    told += inventory.left_out(entries, records)
    return "".join(f"  {sentence}\n" for sentence in told)


run(body, snakemake)  # noqa: F821
