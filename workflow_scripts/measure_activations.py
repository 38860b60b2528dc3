"""Measure the training activations of some blocks, in one pass that keeps none of them."""

from visae.activations.computed import measure
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.checks import check_backbone
from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.base.memory import keep_freed
from visae.images.rows import open_index


def body(snakemake):
    params, backbone_name = snakemake.params, snakemake.wildcards.backbone
    results, _ = paths.of_job(snakemake)
    [(name, (root, shards, order_seed))] = params.splits.items()
    files = results.index_and_classes(name)
    layers = sorted(map(results.block_of_cache, snakemake.output.caches))
    places = {layer: paths.place(backbone_name, layer) for layer in layers}
    keep_freed()
    backbone = build_backbone(BackboneSpec(backbone_name, **params.backbone))
    backbone.to(take_device())
    for layer in layers:
        check_backbone(backbone, layer, params.extraction["precision"])
    measure(
        backbone,
        *name.split("/"),
        open_index(*files, order_seed),
        root,
        {
            layer: [results.shard(name, number, shards, place) for number in range(shards)]
            for layer, place in places.items()
        },
        {layer: results.cache(name, place) for layer, place in places.items()},
        **params.extraction,
        workers=snakemake.threads - 1,
        inputs=files,
    )


run(body, snakemake)  # noqa: F821
