# Scores and caches → two features of one SAE per backbone, on the images that they respond to most.

AUDITED = roles.audited(STUDY).name

for batch, backbones in jobs.auditing(STUDY):
    places = [f"{b}/layer{roles.main(STUDY).layers[b]}/{AUDITED}" for b in backbones]
    examples = [f"<results>/examples/{place}.h5" for place in places]

    rule:
        name:
            f"audit_{batch}"
        input:
            arrays=[f"<results>/metrics/{place}/localization.npz" for place in places],
            reductions=[
                f"<results>/reductions/{place}/{STUDY.evaluation.name}.h5" for place in places
            ],
            caches=[
                f"<results>/activations/{b}/layer{roles.main(STUDY).layers[b]}/{STUDY.evaluation.name}.h5"
                for b in backbones
            ],
            saes=[f"<results>/saes/{place}/model.safetensors" for place in places],
            index=f"<results>/index/{STUDY.evaluation.name}.csv",
            classes=f"<results>/index/{STUDY.evaluation.dataset}/classes.csv",
            images=image_folder(STUDY.evaluation.dataset),
        output:
            examples=examples,
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
            root=settings("datasets", STUDY.evaluation.dataset, "root"),
            code=code("audit_features"),
        message:
            f"Looking up examples of features ({batch})"
        script:
            "../workflow_scripts/audit_features.py"
