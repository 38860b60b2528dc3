from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


include: "rules/common.smk"


pathvars:
    results=f"results/{STUDY.name}",
    logs=f"results/{STUDY.name}/logs",
    benchmarks=f"results/{STUDY.name}/benchmarks",


include: "rules/targets.smk"


rule all:
    input:
        lambda wildcards: FIGURES + TABLES,
    message:
        "The study is complete"


include: "rules/data.smk"
include: "rules/pretraining.smk"
include: "rules/activations.smk"
include: "rules/training.smk"
include: "rules/encoding.smk"
include: "rules/streaming.smk"
include: "rules/metrics.smk"
include: "rules/downstream.smk"
include: "rules/analysis.smk"
include: "rules/figures.smk"


onsuccess:
    print(f"Done: figures in results/{STUDY.name}/figures, tables in results/{STUDY.name}/tables")
