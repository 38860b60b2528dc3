# Scores → tables.


rule collect_scores:
    input:
        scores=score_paths(STUDY.metrics()),
    output:
        table="<results>/tables/scores.csv",
    log:
        "<logs>/collect_scores.log",
    benchmark:
        "<benchmarks>/collect_scores.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        code=code("collect_scores"),
    message:
        "Collecting all scores in one tidy table"
    script:
        "../workflow_scripts/collect_scores.py"


SCORES = rules.collect_scores.output.table
PUBLISHED = f"{workflow.basedir}/resources/published_values.csv"

# Table → what it shows, what it is computed from, and the settings that it depends on.
PAPER_TABLES = {
    "table_3": (
        "what each metric's variance is made of",
        {"scores": SCORES},
        {"sweep": STUDY.main.name, "seed": STUDY.seed},
    ),
    "table_4": (
        "spatial coherence of the backbones' own channels",
        {
            "raw": [
                f"<results>/reductions/{b}/layer{layer}/raw/{STUDY.evaluation.name}.h5"
                for b, layer in STUDY.main.layers.items()
            ]
        },
        {
            "backbones": list(STUDY.main.backbones),
            "localization": settings("metrics", "localization"),
        },
    ),
}

for name, (shows, computed_from, depends_on) in PAPER_TABLES.items():
    files = {view: f"<results>/tables/{name}.{view}" for view in ("csv", "md", "tex")}
    TABLES.extend(files.values())

    rule:
        name:
            name
        input:
            **computed_from,
        output:
            **files,
        log:
            f"<logs>/{name}.log",
        benchmark:
            f"<benchmarks>/{name}.tsv"
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=minutes(10),
        params:
            **depends_on,
            code=code(name),
        message:
            f"{name}: {shows}"
        script:
            f"../workflow_scripts/{name}.py"
