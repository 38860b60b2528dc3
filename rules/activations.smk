# Images → patch activations: HDF5 shards, joined as one cache per split; and what the raw
# activations themselves are held against (pooled features, Moran's I, probes).

for batch, splits in STUDY.extraction_batches():
    whole = len(splits) > 1 or STUDY.coarse
    [only] = splits if not whole else [None]
    shard = "" if whole else f"-shard-{{shard}}-of-{only.shards:05d}"

    rule:
        name:
            f"extract_{batch}"
        input:
            indices=index_paths(splits),
            classes=[f"<results>/index/{split.dataset}/classes.csv" for split in splits],
            weights=local_weights,
        output:
            shards=(
                [path for split in splits for path in shard_paths(split)]
                if whole
                else [
                    f"<results>/activations/{{backbone}}/layer{{layer}}/{only.name}/"
                    f"shard-{{shard}}-of-{only.shards:05d}.h5"
                ]
            ),
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
            roots=[settings("datasets", split.dataset, "root") for split in splits],
            # The seed of the order of images, which is random in the training cache only.
            splits=[
                (
                    *(split.dataset, split.split, split.shards),
                    STUDY.seed if split == STUDY.training else None,
                )
                for split in splits
            ],
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
            shards=[path for split in splits for path in shard_paths(split)],
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
            shards=[split.shards for split in splits],
            statistics=[split == STUDY.training for split in splits],
            code=code("join_activations"),
        message:
            f"Checking and joining the {batch} cache of {{wildcards.backbone}}"
        script:
            "../workflow_scripts/join_activations.py"


for batch, splits in STUDY.encoding_batches():

    rule:
        name:
            f"reduce_raw_{batch}"
        input:
            caches=cache_paths(splits),
            training=cache_path(STUDY.training),
        output:
            reductions=raw_paths(splits),
        log:
            f"<logs>/reduce_raw/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/reduce_raw/{{backbone}}-layer{{layer}}-{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            mem_mb=memory(8000),
            runtime=minutes(60),
        params:
            moran=moran_settings(splits),
            code=code("reduce_raw"),
        message:
            f"Pooling the raw {batch} activations of {{wildcards.backbone}}"
        script:
            "../workflow_scripts/reduce_raw.py"
