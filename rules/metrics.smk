# Reductions → scores: one JSON per SAE and metric. No metric reads an activation cache.


def score_inputs(names, metrics):
    """The inputs that `metrics` need for the SAEs called `names`, by kind."""
    on_eval = [m for m in metrics if m != "cross_domain"]
    splits = [STUDY.evaluation] if on_eval else []
    datasets = [STUDY.evaluation.dataset] if on_eval else []
    if "cross_domain" in metrics:
        splits += [split for pair in STUDY.cross_domain.values() for split in pair]
        datasets += STUDY.cross_domain
    needs = lambda *some: any(metric in some for metric in metrics)
    inputs = {"reductions": reduction_paths(names, splits)}
    if needs("fvu", "preservation", "cross_domain"):
        inputs["raw"] = raw_paths(splits)
    if needs("preservation", "cross_domain"):
        inputs["raw_probes"] = raw_probe_paths(datasets)
    if needs("sparse_probing", "absorption", "cross_domain"):
        inputs["rankings"] = ranking_paths(names, datasets)
    if needs("preservation", "sparse_probing", "absorption"):
        inputs["split"] = rules.split_images.output.split
    if needs("monosemanticity"):
        inputs["embeddings"] = evaluator_embeddings
    return inputs


def evaluator_embeddings(wildcards):
    """The pooled features of the backbone in whose space M5 is scored."""
    evaluator = STUDY.backbones[wildcards.backbone]["evaluator"]
    layer = STUDY.backbones[evaluator]["layer"]
    return f"<results>/reductions/{evaluator}/layer{layer}/raw/{STUDY.evaluation.name}.h5"


def evaluator(wildcards):
    """The name of that backbone."""
    return STUDY.backbones[wildcards.backbone]["evaluator"]


for batch, datasets in STUDY.probe_batches():

    rule:
        name:
            f"fit_raw_probes_{batch}"
        input:
            raw=raw_paths(
                dict.fromkeys(s for dataset in datasets for s in STUDY.probe_splits(dataset))
            ),
            split=rules.split_images.output.split,
        output:
            probes=raw_probe_paths(datasets),
        log:
            f"<logs>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.tsv"
        params:
            datasets=[
                (d, *(s.name for s in STUDY.probe_splits(d)), d == STUDY.evaluation.dataset)
                for d in datasets
            ],
            code=code("fit_raw_probes"),
        threads: 4
        resources:
            mem_mb=memory(16000),
            runtime=minutes(120),
        conda:
            "../envs/analysis.yaml"
        message:
            f"Fitting the probes on raw features of {{wildcards.backbone}} ({batch})"
        script:
            "../workflow_scripts/fit_raw_probes.py"


for sweep in STUDY.sweeps.values():
    names = sweep.sae_names()

    for batch, metrics in STUDY.scoring_batches():

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
                    metric=[m for m in metrics if m in ("localization",)],
                ),
            log:
                f"<logs>/score/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/score/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
            params:
                sweep=sweep.name,
                saes=names,
                metrics=metrics,
                settings={m: STUDY.config["metrics"].get(m, {}) for m in metrics},
                evaluation=STUDY.evaluation.name,
                cross_domain={
                    dataset: [split.name for split in pair]
                    for dataset, pair in STUDY.cross_domain.items()
                    if "cross_domain" in metrics
                },
                evaluator=evaluator if "monosemanticity" in metrics else None,
                seed=STUDY.seed,
                code=[code("score_saes"), *(metric_code(metric) for metric in metrics)],
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            threads: 4
            resources:
                mem_mb=memory(16000),
                runtime=minutes(240),
            conda:
                "../envs/analysis.yaml"
            message:
                f"Scoring {batch} of the SAEs of {sweep.name} on {{wildcards.backbone}}"
            script:
                "../workflow_scripts/score_saes.py"
