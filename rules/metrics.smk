# Reductions → scores: one JSON per SAE and metric. No metric reads an activation cache.

for batch, datasets in jobs.probing(STUDY):

    rule:
        name:
            f"fit_raw_probes_{batch}"
        input:
            raw=raw_paths([STUDY.probe_splits(dataset)[0] for dataset in datasets]),
            split=PROBE_SPLIT,
        output:
            probes=raw_probe_paths(datasets),
        log:
            f"<logs>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            gpu=1,
            mem_mb=memory(6000, raw=4),
            runtime=minutes(120),
        params:
            split_here=[dataset == STUDY.evaluation.dataset for dataset in datasets],
            code=code("fit_raw_probes"),
        message:
            f"Fitting the probes on raw features of {{wildcards.backbone}} ({batch})"
        script:
            "../workflow_scripts/fit_raw_probes.py"


for sweep in jobs.sweep_groups(STUDY):
    names = sweep.sae_names()

    for batch, metrics in jobs.scoring(STUDY, sweep):

        rule:
            name:
                f"score_{sweep.name}_{batch}"
            input:
                **score_inputs(names, metrics),
            output:
                scores=expand(
                    "<results>/metrics/{{backbone}}/layer{{layer}}/{sae}/{metric}.json",
                    sae=names,
                    metric=metrics,
                ),
                arrays=expand(
                    "<results>/metrics/{{backbone}}/layer{{layer}}/{sae}/{metric}.npz",
                    sae=names,
                    metric=[m for m in metrics if m in METRICS_WITH_ARRAYS],
                ),
            log:
                f"<logs>/score/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/score/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            conda:
                "../envs/torch.yaml"
            threads: 4
            resources:
                gpu=int(probed(metrics)),
                mem_mb=memory(6000, raw=3, codes=max(CODES_HELD.get(m, 0) for m in metrics)),
                runtime=minutes(120, per_gigabyte=2),
            params:
                sweeps=sweep.origins,
                saes=names,
                metrics=metrics,
                settings={m: STUDY.config["metrics"].get(m, {}) for m in metrics},
                evaluation=STUDY.evaluation.name,
                splits=[split.name for split in score_splits(metrics)],
                datasets=score_datasets(metrics),
                cross_domain={
                    dataset: [split.name for split in pair]
                    for dataset, pair in STUDY.cross_domain.items()
                    if "cross_domain" in metrics
                },
                evaluator=evaluator if "monosemanticity" in metrics else None,
                spaces=m5_spaces if "monosemanticity" in metrics else [],
                seed=STUDY.seed,
                code=[code("score_saes"), *map(metric_code, metrics)],
            message:
                f"Scoring {batch} of the SAEs of {sweep.name} on {{wildcards.backbone}}"
            script:
                "../workflow_scripts/score_saes.py"


# M5 of the main sweep once more, in every backbone's space: the paper's pairing confounds
# backbone and evaluator, the full table separates them.
rule:
    name:
        f"score_{roles.main(STUDY).name}_in_every_space"
    input:
        reductions=reduction_paths(roles.main(STUDY).sae_names(), [STUDY.evaluation]),
        embeddings=[embeddings_of(backbone) for backbone in SPACES],
    output:
        scores=expand(
            "<results>/metrics/{{backbone}}/layer{{layer}}/{sae}/in_every_space/monosemanticity.json",
            sae=roles.main(STUDY).sae_names(),
        ),
        arrays=expand(
            "<results>/metrics/{{backbone}}/layer{{layer}}/{sae}/in_every_space/monosemanticity.npz",
            sae=roles.main(STUDY).sae_names(),
        ),
    log:
        f"<logs>/score/{roles.main(STUDY).name}-in_every_space-{{backbone}}-layer{{layer}}.log",
    benchmark:
        f"<benchmarks>/score/{roles.main(STUDY).name}-in_every_space-{{backbone}}-layer{{layer}}.tsv"
    wildcard_constraints:
        backbone=alternatives(roles.main(STUDY).backbones),
        layer=alternatives(set(roles.main(STUDY).layers.values())),
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        gpu=0,
        mem_mb=memory(16000),
        runtime=minutes(240),
    params:
        sweeps=roles.main(STUDY).origins,
        saes=roles.main(STUDY).sae_names(),
        metrics=["monosemanticity"],
        settings={"monosemanticity": settings("metrics", "monosemanticity")},
        evaluation=STUDY.evaluation.name,
        splits=[STUDY.evaluation.name],
        datasets=[],
        cross_domain={},
        evaluator=evaluator,
        spaces=SPACES,
        seed=STUDY.seed,
        code=[code("score_saes"), metric_code("monosemanticity")],
    message:
        "Scoring M5 of the main sweep on {wildcards.backbone} in every backbone's space"
    script:
        "../workflow_scripts/score_saes.py"
