# Images → patch activations: HDF5 shards, joined as one cache per split. One pass over the images
# of a shard writes it for all blocks that the study reads of a backbone.

import re
from functools import partial

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


def shard_paths(splits, block="{layer}", apart=False):
    """All shards of the caches of `splits`; apart: of one split, with the wildcard shard."""
    return [
        PATHS.shard(split.name, number, split.shards, place("{backbone}", block))
        for split in splits
        for number in (["{shard}"] if apart else range(split.shards))
    ]


ANY_BACKBONE = "[a-z][a-z0-9_]*"


def but_views(backbones):
    """The wildcard constraint `backbones` without those whose caches are views."""
    return f"(?!({alternatives(VIEWS)})/){backbones}" if VIEWS else backbones


def rules_of(step, batch, splits, storages):
    """[(end of a rule's name, blocks, backbones), …]: of one block, and of several at once.

    step: the start of its name. storages: of the blocks.
    """
    if not workflow.is_main_process:
        # What is there has changed since the job was planned. Its command names the rule.
        for asked in sys.argv:
            if several := re.fullmatch(f"{step}_{batch}(_blocks((_[0-9]+)+))", asked):
                yield several[1], several[2].split("_")[1:], ANY_BACKBONE
        yield "", ["{layer}"], kept_as(storages) + ANY_BACKBONE
        return
    others = []
    for blocks, backbones in places.passes(STUDY, NEEDED, VIEWS, splits, storages).items():
        yield f"_blocks_{'_'.join(map(str, blocks))}", blocks, alternatives(backbones)
        others += [place(name, f"({alternatives(blocks)})/") for name in backbones]
    # The end of the path says whether a block has a pass with others.
    but_them = f"(?!{alternatives(others)})" if others else ""
    yield "", ["{layer}"], kept_as(storages) + but_them + ANY_BACKBONE


for batch, splits, storages in jobs.by_storage(STUDY, partial(jobs.extraction, STUDY)):
    apart = jobs.shards_apart(STUDY, splits)
    shard = f"-shard-{{shard}}-of-{splits[0].shards:05d}" if apart else ""

    for several, blocks, backbones in rules_of("extract", batch, splits, storages):
        work = f"{{backbone}}-layer{'-'.join(map(str, blocks))}-{batch}{shard}"

        rule:
            name:
                f"extract_{batch}{several}"
            input:
                indices=index_paths(splits),
                classes=class_paths(splits),
                weights=local_weights,
            output:
                shards=[path for block in blocks for path in shard_paths(splits, block, apart)],
            log:
                f"<logs>/extract/{work}.log",
            benchmark:
                f"<benchmarks>/extract/{work}.tsv"
            wildcard_constraints:
                backbone=backbones,
            conda:
                "../envs/torch.yaml"
            threads: 8
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
                + (
                    f"blocks {', '.join(map(str, blocks))}"
                    if several
                    else "block {wildcards.layer}"
                )
            script:
                "../workflow_scripts/extract_activations.py"

    rule:
        name:
            f"join_{batch}"
        input:
            shards=shard_paths(splits),
        output:
            caches=cache_paths(splits),
        log:
            f"<logs>/join/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/join/{{backbone}}-layer{{layer}}-{batch}.tsv"
        wildcard_constraints:
            backbone=f"{kept_as(storages)}({alternatives(sorted(set(STUDY.backbones) - set(VIEWS)))})",
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=memory(4000),
            runtime=minutes(60),
        params:
            # Split → shards, and whether the mean and the standard deviation are needed.
            splits={
                split.name: (split.shards, split in (STUDY.training, STUDY.statistics))
                for split in splits
            },
            code=code("join_activations"),
        message:
            f"Checking and joining the {batch} cache of {{wildcards.backbone}}"
        script:
            "../workflow_scripts/join_activations.py"


# A training split that is not cached: its cache without the activations, which are computed again
# wherever they are read.
# Also of training, which computes them again: another number may round them otherwise.
MEASURING_THREADS = 8

for batch, splits, storages in jobs.by_storage(STUDY, partial(jobs.measurements, STUDY)):

    for several, blocks, backbones in rules_of("measure", batch, splits, storages):
        work = f"{{backbone}}-layer{'-'.join(map(str, blocks))}-{batch}"

        rule:
            name:
                f"measure_{batch}{several}"
            input:
                indices=index_paths(splits),
                classes=class_paths(splits),
                weights=local_weights,
            output:
                caches=[
                    PATHS.cache(split.name, place("{backbone}", block))
                    for block in blocks
                    for split in splits
                ],
            log:
                f"<logs>/measure/{work}.log",
            benchmark:
                f"<benchmarks>/measure/{work}.tsv"
            wildcard_constraints:
                backbone=but_views(backbones),
            conda:
                "../envs/torch.yaml"
            threads: MEASURING_THREADS
            resources:
                gpu=1,
                mem_mb=memory(16000),
                runtime=minutes(480),
            params:
                backbone=backbone_settings,
                splits={
                    split.name: (
                        settings("datasets", split.dataset, "root"),
                        split.shards,
                        STUDY.seed,
                    )
                    for split in splits
                },
                extraction=settings("extraction"),
                code=code("measure_activations"),
                loader_code=loader_code,
            message:
                f"Measuring {batch} activations of {{wildcards.backbone}}"
            script:
                "../workflow_scripts/measure_activations.py"


def caches_of(storage):
    """The splits whose caches are written together, measured ones last."""
    return [*jobs.extraction(STUDY, storage), *jobs.measurements(STUDY, storage)]


if VIEWS:

    for batch, splits, storages in jobs.by_storage(STUDY, caches_of):

        rule:
            name:
                f"permute_{batch}"
            input:
                caches=of_raster(splits),
            output:
                caches=cache_paths(splits),
            log:
                f"<logs>/permute/{{backbone}}-layer{{layer}}-{batch}.log",
            benchmark:
                f"<benchmarks>/permute/{{backbone}}-layer{{layer}}-{batch}.tsv"
            wildcard_constraints:
                backbone=f"{kept_as(storages)}({alternatives(VIEWS)})",
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
