# Data sets with `cache: false`: images → reductions in one job, with no activations on disk.


def stream_inputs(splits):
    """The inputs that SAEs and raw activations need alike to stream `splits`."""
    return {
        "indices": index_paths(splits),
        "classes": class_paths(splits),
        "weights": local_weights,
    }


def stream_settings(splits):
    """The params that SAEs and raw activations need alike to stream `splits`."""
    return {
        "backbone": backbone_settings,
        "roots": [settings("datasets", split.dataset, "root") for split in splits],
        "splits": [(split.dataset, split.split) for split in splits],
        "extraction": settings("extraction"),
    }


for batch, splits in jobs.streaming(STUDY):

    rule:
        name:
            f"stream_raw_{batch}"
        input:
            **stream_inputs(splits),
            training=cache_path(STUDY.training),
        output:
            reductions=raw_paths(splits),
        log:
            f"<logs>/stream_raw/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/stream_raw/{{backbone}}-layer{{layer}}-{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 8
        resources:
            gpu=1,
            mem_mb=memory(16000),
            runtime=minutes(480),
        params:
            **stream_settings(splits),
            code=code("stream_raw"),
        message:
            f"Pooling raw {batch} activations of {{wildcards.backbone}} straight from images"
        script:
            "../workflow_scripts/stream_raw.py"


for sweep in jobs.sweep_groups(STUDY):
    names = sweep.sae_names()

    for batch, splits in jobs.streaming(STUDY, sweep):

        rule:
            name:
                f"stream_saes_{sweep.name}_{batch}"
            input:
                **stream_inputs(splits),
                saes=sae_weights(names),
                training=cache_path(STUDY.training) if sweep.published else [],
            output:
                reductions=reduction_paths(names, splits),
            log:
                f"<logs>/stream_saes/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/stream_saes/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            conda:
                "../envs/torch.yaml"
            threads: 8
            resources:
                gpu=1,
                mem_mb=memory(16000, saes=names),
                runtime=minutes(480, saes=names),
            params:
                **stream_settings(splits),
                code=code("stream_saes"),
            message:
                f"Encoding {batch} with the SAEs of {sweep.name} on {{wildcards.backbone}} "
                "straight from images"
            script:
                "../workflow_scripts/stream_saes.py"
