# Scores → tables.


def table_files(name):
    """The three views of a table, registered as targets of `tables`."""
    files = {view: f"<results>/tables/{name}.{view}" for view in ("csv", "md", "tex")}
    TABLES.extend(files.values())
    return files


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


rule table_3:
    input:
        scores=rules.collect_scores.output.table,
    output:
        **table_files("table_3"),
    log:
        "<logs>/table_3.log",
    benchmark:
        "<benchmarks>/table_3.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        sweep=STUDY.main.name,
        seed=STUDY.seed,
        code=code("table_3"),
    message:
        "Table 3: what each metric's variance is made of"
    script:
        "../workflow_scripts/table_3.py"


rule table_4:
    input:
        raw=[
            f"<results>/reductions/{b}/layer{STUDY.main.layers[b]}/raw/{STUDY.evaluation.name}.h5"
            for b in STUDY.main.backbones
        ],
    output:
        **table_files("table_4"),
    log:
        "<logs>/table_4.log",
    benchmark:
        "<benchmarks>/table_4.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        backbones=list(STUDY.main.backbones),
        localization=settings("metrics", "localization"),
        code=code("table_4"),
    message:
        "Table 4: spatial coherence of the backbones' own channels"
    script:
        "../workflow_scripts/table_4.py"
