# Scores → tables.

TABLES = []


rule collect_scores_of_sweep:
    input:
        scores=lambda wildcards: score_paths(STUDY.metrics(), STUDY.sweeps[wildcards.sweep]),
    output:
        table="<results>/tables/scores/{sweep}.csv",
        origin="<results>/tables/scores/{sweep}.origin.json",
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
        code=code("collect_scores_of_sweep"),
    message:
        "Collecting the scores of the sweep {wildcards.sweep} in one tidy table"
    script:
        "../workflow_scripts/collect_scores_of_sweep.py"


rule collect_scores:
    input:
        tables=scores_of(*STUDY.sweeps.values()),
    output:
        table="<results>/tables/scores.csv",
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


SCORES = rules.collect_scores.output.table


MAIN_SCORES = scores_of(roles.main(STUDY))
PUBLISHED = "resources/published_values.csv"

ON_MAIN = {"sweep": roles.main(STUDY).name}
VARIANCE = {**ON_MAIN, "seed": STUDY.seed, "without": []}

# Table → what it shows, what it is computed from, and the settings that it depends on.
PAPER_TABLES = {
    "table_1": (
        "how the SAEs of the main sweep were trained",
        {
            "saes": [
                f"<results>/saes/{b}/layer{layer}/{roles.main(STUDY).sae_names()[0]}/config.yaml"
                for b, layer in roles.main(STUDY).layers.items()
            ]
        },
        {"config": STUDY.config, **ON_MAIN, "backbones": list(roles.main(STUDY).backbones)},
    ),
    "table_2": (
        "what each metric computes",
        {},
        {"config": STUDY.config},
    ),
    "table_3": (
        "what each metric's variance is made of",
        {"scores": MAIN_SCORES},
        VARIANCE,
    ),
    "table_4": (
        "spatial coherence of the backbones' own channels",
        {
            "raw": [
                f"<results>/reductions/{b}/layer{layer}/raw/{STUDY.evaluation.name}.h5"
                for b, layer in roles.main(STUDY).layers.items()
            ]
        },
        {
            "backbones": list(roles.main(STUDY).backbones),
            "localization": settings("metrics", "localization"),
        },
    ),
    "table_5": (
        "whose SAEs M5 scores in which space",
        {},
        {"backbones": {b: STUDY.backbones[b] for b in roles.main(STUDY).backbones}},
    ),
    "monosemanticity_by_evaluator": (
        "M5 of every backbone in every evaluator's space",
        {"scores": BY_EVALUATOR},
        {**ON_MAIN, "evaluators": EVALUATOR_OF},
    ),
    "table_7": (
        "absorption over its two thresholds",
        {"scores": MAIN_SCORES},
        {**ON_MAIN, "labels": labels_of(roles.main(STUDY).backbones)},
    ),
}

# The token order of masked autoencoders is easily lost on extraction, and with it what M1 reads:
# how much of each metric's variance is due to them alone?
MASKED = [
    name
    for name in roles.main(STUDY).backbones
    if STUDY.backbones[name]["paradigm"] == "masked reconstruction"
]

if MASKED:
    PAPER_TABLES["table_3_without_mae"] = (
        "what each metric's variance is made of, without masked autoencoders",
        {"scores": MAIN_SCORES},
        {**VARIANCE, "script": "table_3", "without": MASKED},
    )

if roles.second_family(STUDY) is not None:
    BOTH_FAMILIES = scores_of(roles.main(STUDY), roles.second_family(STUDY))
    FAMILIES = {"sweeps": [roles.main(STUDY).name, roles.second_family(STUDY).name]}

    PAPER_TABLES |= {
        "table_9": (
            "do two families of SAEs rank the backbones alike?",
            {"scores": BOTH_FAMILIES},
            FAMILIES,
        ),
        "family_differences": (
            "two families of SAEs at matched L0",
            {"scores": BOTH_FAMILIES},
            FAMILIES,
        ),
        "not_converged": (
            "JumpReLU SAEs that missed their target L0",
            {"scores": BOTH_FAMILIES},
            FAMILIES,
        ),
    }

if roles.control(STUDY) is not None:
    TOKEN_ORDER = {**token_order_inputs(), "published": PUBLISHED}

    PAPER_TABLES["token_order_table"] = (
        "M1 with patches in raster order, permuted, and as published for MAE",
        TOKEN_ORDER,
        token_order_settings(),
    )

if STUDY.tasks():

    rule collect_downstream:
        input:
            results=downstream_paths(),
        output:
            table="<results>/tables/downstream.csv",
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

    DOWNSTREAM = rules.collect_downstream.output.table
    HELD_AGAINST = {"scores": MAIN_SCORES, "downstream": DOWNSTREAM}
    PAPER_TABLES |= {
        "table_6": (
            "accuracy on other data sets, raw and reconstructed",
            {"downstream": DOWNSTREAM},
            ON_MAIN,
        ),
        "table_8": (
            "raw performance against what codes gain",
            {"downstream": DOWNSTREAM},
            ON_MAIN,
        ),
        "codes_lift": (
            "what codes gain over raw features, task by task",
            {"downstream": DOWNSTREAM},
            ON_MAIN,
        ),
        "correlations": (
            "every metric against every downstream task",
            HELD_AGAINST,
            ON_MAIN,
        ),
        "hypotheses": (
            "the verdicts on H1 to H4",
            HELD_AGAINST,
            {**ON_MAIN, "datasets": roles.paper_datasets(STUDY)},
        ),
    }


# Other studies' files are made by no rule here (`make miniature` runs the studies first).
OTHERS = [f"results/{study}" for study in STUDY.config["replicates"]]

if STUDY.pretrained():
    PRETRAINING = {
        "sanity": [
            f"{results}/pretraining/{backbone}/sanity.json"
            for results in ("<results>", *OTHERS)
            for backbone in STUDY.pretrained()
        ]
    }
    PAPER_TABLES["pretraining_table"] = (
        "what pretraining brought, backbone by backbone",
        PRETRAINING,
        {},
    )

if STUDY.config["replicates"]:
    REPLICATES = {"scores": [SCORES, *(f"{results}/tables/scores.csv" for results in OTHERS)]}
    STUDIES = [STUDY.name, *STUDY.config["replicates"]]

    PAPER_TABLES |= {
        "replicates": (
            "what of each metric's variance is the seed of the pretraining",
            REPLICATES,
            {**ON_MAIN, "studies": STUDIES},
        ),
        "replicate_means": (
            "every metric by backbone and seed of the pretraining",
            REPLICATES,
            {"sweeps": list(STUDY.sweeps), "studies": STUDIES},
        ),
    }


CLAIMS = "resources/claims.yaml"
EVIDENCE = {
    "claims": CLAIMS,
    "scores": SCORES,
    "raw": PAPER_TABLES["table_4"][1]["raw"],
    **({"downstream": DOWNSTREAM} if STUDY.tasks() else {}),
}
ON_EVIDENCE = {"config": STUDY.config, "backbones": list(roles.main(STUDY).backbones)}

PAPER_TABLES |= {
    "claims": (
        "every claim of the paper, judged on this run",
        EVIDENCE,
        ON_EVIDENCE,
    ),
    "published_vs_run": (
        "every number that the paper prints beside this run's",
        {**EVIDENCE, "published": PUBLISHED},
        ON_EVIDENCE,
    ),
}

for name, (shows, computed_from, depends_on) in PAPER_TABLES.items():
    files = {view: f"<results>/tables/{name}.{view}" for view in ("csv", "md", "tex")}
    TABLES.extend(files.values())
    category = "Claims" if name == "claims" else "Tables"
    labels = {"table": name.replace("_", " "), "shows": shows}
    files["csv"] = report(files["csv"], "../report/result.rst", category=category, labels=labels)

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
        localrule: True
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=minutes(10),
        params:
            **{"script": name, **depends_on},
            shows=shows,
            code=code(depends_on.get("script", name)),
        message:
            f"{name}: {shows}"
        script:
            "../workflow_scripts/{params.script}.py"
