# Downstream tasks, which the metrics are held against: one JSON per task and source of features,
# a backbone or an SAE. Retrieval and classification read reductions, segmentation reads caches.

for batch, tasks in jobs.tasks(STUDY):

    rule:
        name:
            f"evaluate_raw_{batch}"
        input:
            **raw_task_inputs(tasks),
        output:
            results=raw_task_paths(tasks),
        log:
            f"<logs>/evaluate_raw/{batch}-{{backbone}}-layer{{layer}}.log",
        benchmark:
            f"<benchmarks>/evaluate_raw/{batch}-{{backbone}}-layer{{layer}}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            gpu=1,
            mem_mb=memory(16000),
            runtime=minutes(120),
        params:
            **task_settings(tasks),
            tasks=tasks,
            splits=[split.name for split in raw_task_splits(tasks)],
            code=code("evaluate_raw"),
        message:
            f"Downstream with the raw features of {{wildcards.backbone}} ({batch})"
        script:
            "../workflow_scripts/evaluate_raw.py"

    for sweep in STUDY.downstream_sweeps:
        names = sweep.sae_names()

        rule:
            name:
                f"evaluate_saes_{sweep.name}_{batch}"
            input:
                **sae_task_inputs(names, tasks),
            output:
                results=expand(
                    "<results>/downstream/{{backbone}}/layer{{layer}}/{sae}/{task}.json",
                    sae=names,
                    task=tasks,
                ),
            log:
                f"<logs>/evaluate_saes/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/evaluate_saes/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            conda:
                "../envs/torch.yaml"
            threads: 4
            resources:
                gpu=1,
                mem_mb=memory(32000),
                runtime=minutes(480),
            params:
                **task_settings(tasks),
                sweep=sweep.name,
                saes=names,
                tasks=tasks,
                splits=[split.name for split in sae_task_splits(tasks)],
                code=code("evaluate_saes"),
            message:
                f"Downstream with the SAEs of {sweep.name} on {{wildcards.backbone}} ({batch})"
            script:
                "../workflow_scripts/evaluate_saes.py"
