# Tables and scores → figures. No figure computes anything that costs more than drawing it.


def figure_files(name):
    """The two files of a figure, registered as targets of `figures`."""
    files = {view: f"<results>/figures/{name}.{view}" for view in ("pdf", "png")}
    FIGURES.extend(files.values())
    return files


def labels(wildcards):
    """The backbones' names in figures."""
    return {name: entry["label"] for name, entry in STUDY.backbones.items()}


rule figure_1b:
    input:
        arrays=score_paths(["localization"], sweep=STUDY.main, suffix="npz"),
        scores=score_paths(["localization"], sweep=STUDY.main),
    output:
        **figure_files("figure_1b"),
    log:
        "<logs>/figure_1b.log",
    benchmark:
        "<benchmarks>/figure_1b.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        labels=labels,
        code=code("figure_1b"),
    message:
        "Figure 1b: Moran's I of every feature, by backbone, against the null"
    script:
        "../workflow_scripts/figure_1b.py"


rule figure_3:
    input:
        scores=rules.collect_scores.output.table,
        published=f"{workflow.basedir}/resources/published_values.csv",
    output:
        **figure_files("figure_3"),
    log:
        "<logs>/figure_3.log",
    benchmark:
        "<benchmarks>/figure_3.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        sweep=STUDY.main.name,
        seed=STUDY.seed,
        code=code("figure_3"),
    message:
        "Figure 3: share of each metric's variance by backbone and hyperparameters"
    script:
        "../workflow_scripts/figure_3.py"


rule figure_training_curves:
    input:
        logs=[f"{folder}/training.jsonl" for folder in sae_folders("saes", STUDY.main)],
    output:
        **figure_files("training_curves"),
    log:
        "<logs>/training_curves.log",
    benchmark:
        "<benchmarks>/training_curves.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        labels=labels,
        code=code("figure_training_curves"),
    message:
        "Training curves: loss, L0 and dead features of every SAE"
    script:
        "../workflow_scripts/figure_training_curves.py"
