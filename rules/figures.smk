# Tables and scores → figures. No figure computes anything that costs more than drawing it, so a
# change of style redraws figures and computes nothing.


FIGURES = []
ALL_LABELS = labels_of(STUDY.backbones)
MAIN = {**ON_MAIN, "labels": ALL_LABELS, "backbones": list(roles.main(STUDY).backbones)}

# Figure → what it shows, what it is drawn from, and the settings that it depends on.
DRAWINGS = {
    "figure_1a": (
        "normalised scores on the seven metrics, by backbone",
        {"scores": MAIN_SCORES},
        MAIN,
    ),
    "figure_1b": (
        "Moran's I of every feature, by backbone, against the null",
        {
            "scores": score_paths(["localization"], roles.main(STUDY)),
            "arrays": score_paths(["localization"], roles.main(STUDY), suffix="npz"),
        },
        {"labels": ALL_LABELS, "backbones": list(roles.main(STUDY).backbones)},
    ),
    "figure_2a": (
        "FVU against downstream preservation",
        {"scores": MAIN_SCORES},
        MAIN,
    ),
    "figure_3": (
        "share of each metric's variance by backbone and hyperparameters",
        {"scores": MAIN_SCORES, "published": PUBLISHED},
        {"sweep": roles.main(STUDY).name, "seed": STUDY.seed},
    ),
    "figure_5": (
        "what typical and highly coherent features respond to, by backbone",
        {"examples": EXAMPLES},
        {
            "sae": AUDITED,
            "split": STUDY.evaluation.name,
            "labels": ALL_LABELS,
            "backbones": list(roles.main(STUDY).backbones),
        },
    ),
    "figure_6": (
        "sparse probing over K and expansion factor",
        {"scores": MAIN_SCORES},
        MAIN,
    ),
    "evaluators": (
        "M5 of every backbone in every evaluator's space",
        {"scores": BY_EVALUATOR},
        {**MAIN, "evaluators": EVALUATOR_OF},
    ),
    "training_curves": (
        "loss, L0 and dead features of every SAE in training",
        {
            "logs": [
                PATHS.sae(sae.name, "training.jsonl", sae.place)
                for sae in STUDY.saes(roles.main(STUDY))
            ]
        },
        {"labels": ALL_LABELS, "backbones": list(roles.main(STUDY).backbones)},
    ),
}

if STUDY.pretrained():
    DRAWINGS["pretraining"] = (
        "what the study's own pretraining brought, backbone by backbone",
        {
            **PRETRAINING,
            "logs": [f"<results>/pretraining/{name}/log.jsonl" for name in STUDY.pretrained()],
        },
        {"labels": ALL_LABELS, "backbones": STUDY.pretrained()},
    )

if roles.early(STUDY) is not None:
    DRAWINGS["figure_4"] = (
        "an early layer against the main one, metric by metric",
        {"scores": scores_of(roles.early(STUDY), roles.main(STUDY))},
        {
            "sweeps": [roles.early(STUDY).name, roles.main(STUDY).name],
            "layers": roles.compared_layers(STUDY),
            "labels": ALL_LABELS,
            "backbones": list(roles.early(STUDY).backbones),
        },
    )

if roles.control(STUDY) is not None:
    DRAWINGS["token_order"] = (
        "what M1 reads when the order of the patches is lost",
        TOKEN_ORDER,
        {**token_order_settings(), "labels": ALL_LABELS},
    )

if STUDY.tasks():
    TASKS = {"sweep": roles.main(STUDY).name, "tasks": STUDY.tasks()}

    DRAWINGS |= {
        "figure_2b": (
            "which metric foresees which downstream task",
            HELD_AGAINST,
            {**TASKS, "datasets": roles.paper_datasets(STUDY)},
        ),
        "figure_7": (
            "how well each metric foresees each task",
            HELD_AGAINST,
            TASKS,
        ),
        "figure_8": (
            "which backbone for which task",
            HELD_AGAINST,
            {**TASKS, **MAIN},
        ),
    }

if STUDY.config["replicates"]:
    COMPARED = (
        [roles.main(STUDY)]
        if roles.control(STUDY) is None
        else [roles.main(STUDY), roles.control(STUDY)]
    )
    DRAWINGS["across_seeds"] = (
        "what stays and what changes when the backbones are pretrained again",
        REPLICATES,
        {
            **ON_MAIN,
            "arms": [(sweep.name, b) for sweep in COMPARED for b in sweep.backbones],
            "studies": STUDIES,
            "labels": ALL_LABELS,
        },
    )

for name, (shows, drawn_from, depends_on) in DRAWINGS.items():
    files = {view: f"<results>/figures/{name}.{view}" for view in ("pdf", "png")}
    FIGURES.extend(files.values())
    labels = {"figure": name.replace("_", " "), "shows": shows}
    files["png"] = report(files["png"], "../report/result.rst", category="Figures", labels=labels)

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
        localrule: True
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=minutes(10),
        params:
            **depends_on,
            shows=shows,
            script=name,
            code=code(name),
        message:
            f"Drawing {name}: {shows}"
        script:
            "../workflow_scripts/{params.script}.py"
