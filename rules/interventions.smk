# SAEs and images → features edited inside of their backbones, and what linear heads say then.

EDITED = roles.edited(STUDY)
EDITED_TASKS = roles.edited_tasks(STUDY) if EDITED else {}
EDITED_SPLITS = list(
    dict.fromkeys(split for train, test, _ in EDITED_TASKS.values() for split in (train, test))
)


def intervention_paths(saes, *files):
    """Files of the interventions on `saes`, SAE by SAE."""
    return [PATHS.interventions(sae.name, file, sae.place) for sae in saes for file in files]


def edited_folders(wildcards):
    """The folders of images that the workflow writes; the others must be there."""
    folders = [image_folder(dataset)(wildcards) for dataset in EDITED_TASKS]
    return list(dict.fromkeys(folder for folder in folders if folder))


EDITS_LOOK = PAGE_LOOK.parent / "interventions"

for batch, saes in jobs.editing(STUDY):
    names = list(dict.fromkeys(sae.backbone for sae in saes))

    rule:
        name:
            f"edit_features_{batch}"
        input:
            saes=[PATHS.sae(sae.name, place=sae.place) for sae in saes],
            indices=index_paths(EDITED_SPLITS),
            classes=list(dict.fromkeys(class_paths(EDITED_SPLITS))),
            probe_split=[PROBE_SPLIT] if STUDY.evaluation in EDITED_SPLITS else [],
            images=edited_folders,
            weights=[weights_file(name) for name in names],
        output:
            files=intervention_paths(saes, *INTERVENTION_FILES),
            images=[directory(folder) for folder in intervention_paths(saes, "images")],
        log:
            f"<logs>/edit_features/{batch}.log",
        benchmark:
            f"<benchmarks>/edit_features/{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            gpu=1,
            mem_mb=memory(12000),
            runtime=minutes(120),
        params:
            # With the features that are named for each: what other jobs edit is not theirs.
            saes=[
                [sae.place, sae.name, settings("interventions", "named").get(sae.full_name, [])]
                for sae in saes
            ],
            # Data set → training and test split, the folder of its images, the kind of task.
            tasks={
                dataset: [train.name, test.name, settings("datasets", dataset, "root"), kind]
                for dataset, (train, test, kind) in EDITED_TASKS.items()
            },
            pages=[[sae.place, sae.name] for sae in saes if sae in roles.on_pages(STUDY)],
            study=STUDY.name,
            seed=STUDY.seed,
            settings={
                key: value
                for key, value in settings("interventions").items()
                if key not in ("saes", "datasets", "named")
            },
            head=roles.segmentation_head(STUDY),
            labels={name: STUDY.backbones[name]["label"] for name in names},
            backbones={name: STUDY.backbone_settings(name) for name in names},
            code=[
                code("edit_features"),
                *(code_of_loader(name) for name in names),
                *page_look("base", "look"),
                *page_look("edits", package=EDITS_LOOK),
            ],
        message:
            f"Editing features ({batch})"
        script:
            "../workflow_scripts/edit_features.py"
