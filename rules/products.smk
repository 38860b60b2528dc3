# Scores and results of tasks → tidy tables → the products on the shelf, tables and figures.


rule collect_scores_of_sweep:
    input:
        scores=lambda wildcards: score_paths(STUDY.metrics(), STUDY.sweeps[wildcards.sweep]),
    output:
        table=PATHS.scores("{sweep}"),
        origin=PATHS.scores("{sweep}", "origin.json"),
    log:
        "<logs>/collect_scores/{sweep}.log",
    benchmark:
        "<benchmarks>/collect_scores/{sweep}.tsv"
    wildcard_constraints:
        sweep=alternatives(STUDY.sweeps),
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        absent=lambda wildcards: null_results(STUDY.sweeps[wildcards.sweep].absent),
        saes=lambda wildcards: [
            (sae.backbone, sae.layer, sae.spec.text, sae.sweep)
            for sae in STUDY.saes(STUDY.sweeps[wildcards.sweep])
        ],
        code=code("collect_scores_of_sweep"),
    message:
        "Collecting the scores of the sweep {wildcards.sweep} in one tidy table"
    script:
        "../workflow_scripts/collect_scores_of_sweep.py"


rule collect_scores:
    input:
        tables=[PATHS.scores(sweep) for sweep in STUDY.sweeps],
    output:
        table=PATHS.scores(),
    log:
        "<logs>/collect_scores.log",
    benchmark:
        "<benchmarks>/collect_scores.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        code=code("collect_scores"),
    message:
        "Joining the scores of all sweeps in one tidy table"
    script:
        "../workflow_scripts/collect_scores.py"


if STUDY.tasks():

    rule collect_downstream:
        input:
            results=downstream_paths(),
        output:
            table=PATHS.table("downstream"),
        log:
            "<logs>/collect_downstream.log",
        benchmark:
            "<benchmarks>/collect_downstream.tsv"
        localrule: True
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=minutes(10),
        params:
            code=code("collect_downstream"),
        message:
            "Collecting all downstream results in one tidy table"
        script:
            "../workflow_scripts/collect_downstream.py"


TABLES, FIGURES = map(product_paths, KINDS)

for name, product in [item for of_kind in MADE.values() for item in of_kind.items()]:
    inputs = product.reads(STUDY, PATHS)
    of_repository = {key: path for key, path in inputs.items() if path in sources.SHIPPED}
    inputs |= {key: shipped(path) for key, path in of_repository.items()}
    files = product.files(name, PATHS)
    files[KINDS[product.kind].shown] = report(
        files[KINDS[product.kind].shown],
        "../report/result.rst",
        category=product.category or f"{product.kind.capitalize()}s",
        labels={product.kind: name.replace("_", " "), "shows": product.shows},
    )

    rule:
        name:
            name
        input:
            **inputs,
        output:
            **files,
        log:
            f"<logs>/{name}.log",
        benchmark:
            f"<benchmarks>/{name}.tsv"
        localrule: True
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=minutes(10),
        params:
            product=name,
            settings=product.settings(STUDY),
            shows=product.shows,
            shipped=[content(path) for path in of_repository.values()],
            code=[code("make_product"), entry_code(PRODUCTS, name)],
        message:
            f"{name}: {product.shows}"
        script:
            "../workflow_scripts/make_product.py"


# A subject that is both told and drawn is asked for by its name: `token_order` makes
# `token_order_table` and `token_order_figure`.
for subject in [name.removesuffix("_figure") for name in MADE["figure"]]:
    if f"{subject}_table" in MADE["table"]:

        rule:
            name:
                subject
            input:
                *MADE["table"][f"{subject}_table"].files(f"{subject}_table", PATHS).values(),
                *MADE["figure"][f"{subject}_figure"].files(f"{subject}_figure", PATHS).values(),
            message:
                f"Table and figure of {subject.replace('_', ' ')} are made"
