# Image data sets → indices: which images a split has, where they lie, what they show.

if any(entry["generated"] for entry in STUDY.config["datasets"].values()):

    rule write_demo_data:
        output:
            folder=directory(PATHS.data()),
        log:
            "<logs>/write_demo_data.log",
        benchmark:
            "<benchmarks>/write_demo_data.tsv"
        localrule: True
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(2000),
            runtime=minutes(10),
        params:
            seed=STUDY.seed,
            code=code("write_demo_data"),
        message:
            "Writing the demo's photographs in the layouts of the real data sets"
        script:
            "../workflow_scripts/write_demo_data.py"


for dataset, entry in STUDY.config["datasets"].items():

    rule:
        name:
            f"index_{dataset}"
        input:
            folder=image_folder(dataset),
        output:
            indices=[PATHS.index(f"{dataset}/{split}") for split in entry["splits"]],
            classes=PATHS.classes(dataset),
            inventory=PATHS.inventory(dataset),
        log:
            f"<logs>/index_{dataset}.log",
        benchmark:
            f"<benchmarks>/index_{dataset}.tsv"
        localrule: True
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(4000),
            runtime=minutes(30),
        params:
            layout=entry["layout"],
            root=entry["root"],
            options=entry["options"],
            dataset=dataset,
            # Split → how many of its images are listed, if not all.
            splits={name: split.get("images") for name, split in entry["splits"].items()},
            labels={name: labels_of(entry, name) for name in entry["splits"]},
            shares=shares_of(entry),
            code=code("index_images"),
            layout_code=entry_code(LAYOUTS, entry["layout"]),
        message:
            f"Listing the images of {dataset}"
        script:
            "../workflow_scripts/index_images.py"


rule split_images:
    input:
        index=PATHS.index(STUDY.evaluation.name),
        classes=PATHS.classes(STUDY.evaluation.dataset),
    output:
        split=PROBE_SPLIT,
    log:
        "<logs>/split_images.log",
    benchmark:
        "<benchmarks>/split_images.tsv"
    localrule: True
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        test_fraction=settings("evaluation", "test_fraction"),
        seed=STUDY.seed,
        code=code("split_images"),
    message:
        "Splitting the evaluation images for the probes (stratified, shared by every metric)"
    script:
        "../workflow_scripts/split_images.py"
