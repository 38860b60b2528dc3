# Tables and scores → figures. No figure computes anything that costs more than drawing it, so a
# change of style redraws figures and computes nothing.


MAIN = {"sweep": STUDY.main.name, "labels": labels_of(STUDY.main.backbones)}

# Figure → what it shows, what it is drawn from, and the settings that it depends on.
DRAWINGS = {
    "figure_1a": (
        "normalised scores on the seven metrics, by backbone",
        {"scores": SCORES},
        MAIN,
    ),
    "figure_1b": (
        "Moran's I of every feature, by backbone, against the null",
        {
            "scores": score_paths(["localization"], STUDY.main),
            "arrays": score_paths(["localization"], STUDY.main, suffix="npz"),
        },
        {"labels": MAIN["labels"]},
    ),
    "figure_2a": (
        "FVU against downstream preservation",
        {"scores": SCORES},
        MAIN,
    ),
    "figure_3": (
        "share of each metric's variance by backbone and hyperparameters",
        {"scores": SCORES, "published": PUBLISHED},
        {"sweep": STUDY.main.name, "seed": STUDY.seed},
    ),
    "figure_6": (
        "sparse probing over K and expansion factor",
        {"scores": SCORES},
        MAIN,
    ),
    "training_curves": (
        "loss, L0 and dead features of every SAE in training",
        {"logs": [f"{folder}/training.jsonl" for folder in sae_folders("saes", STUDY.main)]},
        {"labels": MAIN["labels"]},
    ),
}

if STUDY.early is not None:
    DRAWINGS["figure_4"] = (
        "an early layer against the main one, metric by metric",
        {"scores": SCORES},
        {
            "sweeps": [STUDY.early.name, STUDY.main.name],
            "layers": STUDY.compared_layers,
            "labels": labels_of(STUDY.early.backbones),
        },
    )

for name, (shows, drawn_from, depends_on) in DRAWINGS.items():
    files = {view: f"<results>/figures/{name}.{view}" for view in ("pdf", "png")}
    FIGURES.extend(files.values())

    rule:
        name:
            name
        input:
            **drawn_from,
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
            f"Drawing {name}: {shows}"
        script:
            f"../workflow_scripts/{name}.py"
