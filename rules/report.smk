# Everything → one page to read.

REPORT = PATHS.report()

# What the page looks like: no Python module, so that `code` does not see it.
LOOK = Path(workflow.basedir) / "workflow_scripts" / "visae" / "report"

# What the page holds a run against.
EVIDENCE = {
    "claims": sources.CLAIMS,
    "published": sources.PUBLISHED,
    "contradictions": "docs/inconsistencies.md",
}

# One SAE per sweep and backbone tells what all of them were trained on.
FIRST_OF_SWEEP = [
    PATHS.sae(sweep.sae_names()[0], "config.yaml", own)
    for sweep in STUDY.sweeps.values()
    for own in sweep.places
]


rule report:
    input:
        **{name: shipped(path) for name, path in EVIDENCE.items()},
        figures=product_paths("figure", "png"),
        tables=product_paths("table", "json"),
        tidy=[PATHS.scores(), *([PATHS.table("downstream")] if STUDY.tasks() else [])],
        logs=[PATHS.sae(sae.name, "training.jsonl", sae.place) for sae in STUDY.saes()],
        sae_configs=FIRST_OF_SWEEP,
        reductions=[
            PATHS.reductions(sae.name, STUDY.evaluation.name, sae.place)
            for sae in STUDY.saes(roles.main(STUDY))
        ],
        scores=score_paths(FEATURE_METRICS, roles.main(STUDY)),
        arrays=score_paths(FEATURE_METRICS, roles.main(STUDY), suffix="npz"),
        cards=page_paths(roles.on_pages(STUDY), "card.json", "card.webp"),
        matches=match_paths(MATCHED, "card.json", "card.webp"),
        edited=intervention_paths(EDITED, "card.json", "card.webp"),
        index=PATHS.index(STUDY.evaluation.name),
        classes=PATHS.classes(STUDY.evaluation.dataset),
        images=image_folder(STUDY.evaluation.dataset),
    output:
        page=report(REPORT, category="Report", caption="../report/page.rst"),
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    params:
        config=STUDY.config,
        benchmarks=STUDY.paths.benchmarks(),
        captions={
            name: (product.shows, product.over(STUDY)) for name, product in MADE["figure"].items()
        },
        not_made={
            name: (PRODUCTS[name].kind, PRODUCTS[name].shows, reason)
            for name, reason in NOT_MADE.items()
        },
        evidence=[content(path) for path in EVIDENCE.values()],
        metrics=titles(STUDY.metrics()),
        code=[
            code("write_report"),
            *map(fingerprints.of_file, sorted(LOOK.glob("templates/*.jinja"))),
            *map(fingerprints.of_file, sorted(LOOK.glob("assets/page.*"))),
        ],
    message:
        "Writing the report"
    script:
        "../workflow_scripts/write_report.py"
