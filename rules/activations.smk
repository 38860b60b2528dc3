# Images → patch activations: HDF5 shards, joined as one cache per split. One pass over the images
# of a shard writes it for all blocks that the study reads of a backbone.

import re

from visae.study import places

NEEDED, VIEWS = places.needed(STUDY), roles.views(STUDY)


def kept_as(storages):
    """The start of a backbone's constraint, which only its blocks of these storages match."""
    return places.only(NEEDED, settings("storage"), storages)


def of_raster(splits):
    """The caches of `splits` in raster order, of which a control's are views."""

    def caches(wildcards):
        raster = place(VIEWS[wildcards.backbone], wildcards.layer)
        return [PATHS.cache(split.name, raster) for split in splits]

    return caches


def seed_of_order(wildcards):
    """The seed of a control's orders of patches."""
    return STUDY.backbones[wildcards.backbone]["seed"]


def shard_paths(splits, storage, block="{layer}", apart=False):
    """All shards of the caches of `splits`; apart: of one split, with the wildcard shard.

    storage: of the block, which has a cache of some of them.
    """
    return [
        PATHS.shard(
            split.name,
            number,
            split.shards,
            place("{backbone}", block),
            kept=split.cached_in(storage),
        )
        for split in STUDY.splits(storage)
        if split in splits
        for number in (["{shard}"] if apart else range(split.shards))
    ]


# Also of jobs that compute activations again: another number may round them otherwise.
EXTRACTION_THREADS = 8


def passes_over(batch, splits):
    """[(name, blocks, backbones), …]: of one block, and of several at once.

    blocks: [(block, storage), …]. A name has the storages that are not that of the first blocks.
    """
    [(first, *_), _], *_ = jobs.extracted_alike(STUDY, splits)
    if not workflow.is_main_process:
        # What is there has changed since the job was planned. Its command names the rule.
        for asked in sys.argv:
            if several := re.fullmatch(f"extract_{batch}({jobs.OF_BLOCKS})", asked):
                named = re.findall("_([0-9]+)(?:_([a-z]+))?", several[2])
                blocks = [(layer, storage or first) for layer, storage in named]
                yield batch + several[1], blocks, ANY_BACKBONE
        yield from single_blocks(batch, splits, "")
        return
    others = []
    for blocks, backbones in places.passes(STUDY, NEEDED, VIEWS, splits).items():
        named = "".join(
            f"_{layer}" if storage == first else f"_{layer}_{storage}" for layer, storage in blocks
        )
        yield f"{batch}_blocks{named}", blocks, alternatives(backbones)
        layers = alternatives([layer for layer, _ in blocks])
        others += [place(name, f"({layers})/") for name in backbones]
    # The end of the path says whether a block has a pass with others.
    yield from single_blocks(batch, splits, f"(?!{alternatives(others)})" if others else "")


def single_blocks(batch, splits, but):
    """The same of one block; but: the start of a constraint, which leaves some out."""
    for name, alike, _ in alike_of(batch, splits):
        yield name, [("{layer}", alike[0])], kept_as(alike) + but + ANY_BACKBONE


BATCHES = dict(jobs.extraction(STUDY))


def alike_of(batch, splits):
    """[(name, storages, splits), …] of the blocks at which these are cached."""
    for number, (alike, own) in enumerate(jobs.extracted_alike(STUDY, splits)):
        yield jobs.apart(f"{batch}_{alike[0]}", BATCHES) if number else batch, alike, own


for batch, splits in BATCHES.items():
    apart = jobs.shards_apart(STUDY, splits)
    shard = f"-shard-{{shard}}-of-{splits[0].shards:05d}" if apart else ""

    for name, blocks, backbones in passes_over(batch, splits):
        layers = [str(layer) for layer, _ in blocks]
        work = f"{{backbone}}-layer{'-'.join(layers)}-{batch}{shard}"

        rule:
            name:
                f"extract_{name}"
            input:
                # Of all splits, also where a block lacks some: what was written in a pass with another
                # block is as good alone.
                indices=index_paths(splits),
                classes=class_paths(splits),
                weights=local_weights,
            output:
                shards=[
                    path
                    for block, storage in blocks
                    for path in shard_paths(splits, storage, block, apart)
                ],
            log:
                f"<logs>/extract/{work}.log",
            benchmark:
                f"<benchmarks>/extract/{work}.tsv"
            wildcard_constraints:
                backbone=backbones,
            conda:
                "../envs/torch.yaml"
            threads: EXTRACTION_THREADS
            resources:
                gpu=1,
                mem_mb=memory(16000),
                runtime=minutes(240),
            params:
                backbone=backbone_settings,
                # Split → root, shards, and the seed of the order of images, which is random in the
                # training cache only.
                splits={
                    split.name: (
                        settings("datasets", split.dataset, "root"),
                        split.shards,
                        STUDY.seed if split == STUDY.training else None,
                    )
                    for split in splits
                },
                extraction=settings("extraction"),
                code=code("extract_activations"),
                loader_code=loader_code,
            message:
                f"Extracting {batch} activations of {{wildcards.backbone}}, "
                + (f"blocks {', '.join(layers)}" if len(layers) > 1 else "block {wildcards.layer}")
            script:
                "../workflow_scripts/extract_activations.py"

    for name, alike, own in alike_of(batch, splits):

        rule:
            name:
                f"join_{name}"
            input:
                shards=shard_paths(own, alike[0]),
            output:
                caches=cache_paths(own),
            log:
                f"<logs>/join/{{backbone}}-layer{{layer}}-{batch}.log",
            benchmark:
                f"<benchmarks>/join/{{backbone}}-layer{{layer}}-{batch}.tsv"
            wildcard_constraints:
                backbone=f"{kept_as(alike)}({alternatives(sorted(set(STUDY.backbones) - set(VIEWS)))})",
            conda:
                "../envs/torch.yaml"
            threads: 1
            resources:
                mem_mb=memory(4000),
                runtime=minutes(60),
            params:
                # Split → shards, whether the mean and the standard deviation are needed, and
                # whether activations are kept.
                splits={
                    split.name: (
                        split.shards,
                        split in (STUDY.training, STUDY.statistics),
                        split.cached_in(alike[0]),
                    )
                    for split in own
                },
                code=code("join_activations"),
            message:
                f"Checking and joining the {batch} cache of {{wildcards.backbone}}"
            script:
                "../workflow_scripts/join_activations.py"


if VIEWS:

    for batch, name, alike, own in (
        (batch, *each) for batch, splits in BATCHES.items() for each in alike_of(batch, splits)
    ):

        rule:
            name:
                f"permute_{name}"
            input:
                caches=of_raster(own),
            output:
                caches=cache_paths(own),
            log:
                f"<logs>/permute/{{backbone}}-layer{{layer}}-{batch}.log",
            benchmark:
                f"<benchmarks>/permute/{{backbone}}-layer{{layer}}-{batch}.tsv"
            wildcard_constraints:
                backbone=f"{kept_as(alike)}({alternatives(VIEWS)})",
            conda:
                "../envs/torch.yaml"
            threads: 1
            resources:
                mem_mb=memory(2000),
                runtime=minutes(20),
            params:
                seed=seed_of_order,
                code=code("permute_activations"),
            message:
                f"Viewing the {batch} caches as {{wildcards.backbone}} permutes them"
            script:
                "../workflow_scripts/permute_activations.py"
