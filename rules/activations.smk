# Images → patch activations: HDF5 shards, joined as one cache per split.


def shard_paths(splits):
    """All shards of the caches of `splits`."""
    return [
        PATHS.shard(split.name, number, split.shards)
        for split in splits
        for number in range(split.shards)
    ]


def one_shard(split):
    """A shard of a split's cache, with the wildcard shard."""
    return PATHS.shard(split.name, "{shard}", split.shards)


for batch, splits in jobs.extraction(STUDY):
    apart = jobs.shards_apart(STUDY, splits)
    shard = f"-shard-{{shard}}-of-{splits[0].shards:05d}" if apart else ""

    rule:
        name:
            f"extract_{batch}"
        input:
            indices=index_paths(splits),
            classes=class_paths(splits),
            weights=local_weights,
        output:
            shards=[one_shard(*splits)] if apart else shard_paths(splits),
        log:
            f"<logs>/extract/{{backbone}}-layer{{layer}}-{batch}{shard}.log",
        benchmark:
            f"<benchmarks>/extract/{{backbone}}-layer{{layer}}-{batch}{shard}.tsv"
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
            f"Extracting {batch} activations of {{wildcards.backbone}}, block {{wildcards.layer}}"
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
