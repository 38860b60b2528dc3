# Reductions → scores: one JSON per SAE and metric. No metric reads an activation cache.


# Metrics that also write per-feature, per-class or per-task values to `{metric}.npz`.
METRICS_WITH_ARRAYS = [m for m in STUDY.metrics() if m not in ("preservation", "cross_domain")]


def score_splits(metrics):
    """The splits whose reductions `metrics` read."""
    on_evaluation = [STUDY.evaluation] if set(metrics) - {"cross_domain"} else []
    pairs = STUDY.cross_domain.values() if "cross_domain" in metrics else []
    return on_evaluation + [split for pair in pairs for split in pair]


def score_datasets(metrics):
    """The data sets whose rankings and raw probes `metrics` read."""
    return list(dict.fromkeys(split.dataset for split in score_splits(metrics)))


def score_inputs(names, metrics):
    """The inputs that `metrics` need for the SAEs called `names`, by kind."""

    def needed_by(*some):
        return bool(set(metrics) & set(some))

    splits, datasets = score_splits(metrics), score_datasets(metrics)
    inputs = {"reductions": reduction_paths(names, splits)}
    if needed_by("fvu", "preservation", "sparse_probing", "cross_domain", "absorption"):
        inputs["raw"] = raw_paths(splits)
    if needed_by("preservation", "cross_domain"):
        inputs["raw_probes"] = raw_probe_paths(datasets)
    if needed_by("sparse_probing", "cross_domain", "absorption"):
        inputs["rankings"] = ranking_paths(names, datasets)
    if needed_by("preservation", "sparse_probing", "absorption"):
        inputs["split"] = rules.split_images.output.split
    if needed_by("absorption"):
        inputs["classes"] = f"<results>/index/{STUDY.evaluation.dataset}/classes.csv"
    if needed_by("monosemanticity"):
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
            raw=raw_paths([STUDY.probe_splits(dataset)[0] for dataset in datasets]),
            split=rules.split_images.output.split,
        output:
            probes=raw_probe_paths(datasets),
        log:
            f"<logs>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.tsv"
        conda:
            "../envs/analysis.yaml"
        threads: 4
        resources:
            mem_mb=memory(16000),
            runtime=minutes(120),
        params:
            split_here=[dataset == STUDY.evaluation.dataset for dataset in datasets],
            code=code("fit_raw_probes"),
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
                "../envs/analysis.yaml"
            threads: 4
            resources:
                mem_mb=memory(16000),
                runtime=minutes(240),
            params:
                sweep=sweep.name,
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
                seed=STUDY.seed,
                code=[code("score_saes"), *map(metric_code, metrics)],
            message:
                f"Scoring {batch} of the SAEs of {sweep.name} on {{wildcards.backbone}}"
            script:
                "../workflow_scripts/score_saes.py"
