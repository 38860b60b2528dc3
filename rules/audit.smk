# Scores and caches → two features of one SAE per backbone, on the images that they respond to most.

AUDITED = roles.audited(STUDY).name

for batch, backbones in jobs.auditing(STUDY):
    places = [place(b, roles.main(STUDY).layers[b]) for b in backbones]

    rule:
        name:
            f"audit_{batch}"
        input:
            scores=[PATHS.metric(AUDITED, "localization", place=own) for own in places],
            arrays=[PATHS.metric(AUDITED, "localization", "npz", own) for own in places],
            reductions=[PATHS.reductions(AUDITED, STUDY.evaluation.name, own) for own in places],
            caches=[PATHS.cache(STUDY.evaluation.name, own) for own in places],
            saes=[PATHS.sae(AUDITED, place=own) for own in places],
            index=PATHS.index(STUDY.evaluation.name),
            classes=PATHS.classes(STUDY.evaluation.dataset),
            images=image_folder(STUDY.evaluation.dataset),
        output:
            examples=[PATHS.examples(AUDITED, own) for own in places],
        log:
            f"<logs>/audit/{batch}.log",
        benchmark:
            f"<benchmarks>/audit/{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=memory(4000),
            runtime=minutes(20),
        params:
            sae=AUDITED,
            split=STUDY.evaluation.name,
            places=places,
            root=settings("datasets", STUDY.evaluation.dataset, "root"),
            code=code("audit_features"),
        message:
            f"Looking up examples of features ({batch})"
        script:
            "../workflow_scripts/audit_features.py"
