"""Extract the patch activations of some blocks for one shard, or for all shards of some splits."""

from visae.activations.extraction import ShardJob, extract
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.checks import check_backbone
from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.base.memory import keep_freed
from visae.images.rows import open_index


def body(snakemake):
    params, wildcards = snakemake.params, snakemake.wildcards
    results, _ = paths.of_job(snakemake)
    # Not a parameter of the rule: what was extracted with another block is as good alone.
    wanted = set(snakemake.output.shards)
    layers = sorted(set(map(results.block_of, wanted)))
    places = {layer: paths.place(wildcards.backbone, layer) for layer in layers}
    jobs = []
    for name, (root, shards, order_seed) in params.splits.items():
        files = results.index_and_classes(name)
        index = open_index(*files, order_seed)
        # With the wildcard `shard` this job writes that shard, without it all of them.
        chosen = [int(wildcards.shard)] if wildcards.get("shard") else range(shards)
        for shard in chosen:
            kept, measured = (
                {
                    layer: path
                    for layer, place in places.items()
                    if (path := results.shard(name, shard, shards, place, kept)) in wanted
                }
                for kept in (True, False)
            )
            if outputs := kept | measured:  # of all splits, some need not be cached of these blocks
                jobs.append(
                    ShardJob(*name.split("/"), index, root, shard, shards, outputs, files, measured)
                )
    keep_freed()
    backbone = build_backbone(BackboneSpec(wildcards.backbone, **params.backbone))
    backbone.to(take_device())
    for layer in layers:
        check_backbone(backbone, layer, params.extraction["precision"])
    extract(
        backbone,
        jobs,
        **params.extraction,
        workers=snakemake.threads - 1,
        # No parameter of the rule: what was extracted without a bad image is as good with either.
        on_bad_image=snakemake.config.get("on_bad_image", "fail"),
    )


run(body, snakemake)  # noqa: F821
