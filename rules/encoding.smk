# Eval caches × SAEs → reductions: one pass over a cache encodes with all SAEs of a
# (sweep, backbone), and leaves behind all that any metric needs.

for sweep in jobs.sweep_groups(STUDY):
    names = sweep.sae_names()

    for batch, splits in jobs.encoding(STUDY, sweep):

        rule:
            name:
                f"encode_{sweep.name}_{batch}"
            input:
                caches=cache_paths(splits),
                saes=sae_weights(names),
                training=cache_path(STUDY.training) if sweep.published else [],
            output:
                reductions=reduction_paths(names, splits),
            log:
                f"<logs>/encode/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/encode/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            conda:
                "../envs/torch.yaml"
            threads: 4
            resources:
                gpu=1,
                mem_mb=memory(8000, saes=names),
                runtime=minutes(60, saes=names),
            params:
                moran=moran_settings(splits),
                code=code("encode_caches"),
            message:
                f"Encoding {batch} with the SAEs of {sweep.name} on {{wildcards.backbone}}"
            script:
                "../workflow_scripts/encode_caches.py"

    for batch, datasets in jobs.ranking(STUDY, sweep):

        rule:
            name:
                f"rank_{sweep.name}_{batch}"
            input:
                reductions=[
                    path
                    for dataset in datasets
                    for path in reduction_paths(names, [STUDY.probe_splits(dataset)[0]])
                ],
                split=PROBE_SPLIT,
                classes=[PATHS.classes(dataset) for dataset in datasets],
            output:
                rankings=ranking_paths(names, datasets),
            log:
                f"<logs>/rank/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/rank/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            conda:
                "../envs/analysis.yaml"
            threads: 1
            resources:
                mem_mb=memory(8000),
                runtime=minutes(60, per_gigabyte=0.5),
            params:
                split_here=[dataset == STUDY.evaluation.dataset for dataset in datasets],
                code=code("rank_features"),
            message:
                f"Ranking the features of {sweep.name} on {{wildcards.backbone}} ({batch})"
            script:
                "../workflow_scripts/rank_features.py"
