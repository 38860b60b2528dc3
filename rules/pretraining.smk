# Training images → weights of the backbones that the study pretrains itself.

if STUDY.pretrained():

    rule pretrain_backbone:
        input:
            indices=index_paths([STUDY.training, STUDY.evaluation]),
            classes=class_paths([STUDY.training, STUDY.evaluation]),
        output:
            weights=PATHS.pretraining("{backbone}"),
            log=PATHS.pretraining("{backbone}", "log.jsonl"),
            sanity=PATHS.pretraining("{backbone}", "sanity.json"),
        log:
            "<logs>/pretrain/{backbone}.log",
        benchmark:
            "<benchmarks>/pretrain/{backbone}.tsv"
        wildcard_constraints:
            backbone=alternatives(STUDY.pretrained()),
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            gpu=1,
            mem_mb=memory(8000),
            runtime=minutes(120),
        params:
            # Whatever the order in which its tokens are read afterwards, and how they are stored.
            backbone=lambda wildcards: backbone_settings(wildcards)
            | {"weights": "random", "token_order": "raster", "storage": "float16"},
            pretraining=lambda wildcards: STUDY.backbones[wildcards.backbone]["pretraining"],
            training=split_and_root(STUDY.training),
            evaluation=split_and_root(STUDY.evaluation),
            code=code("pretrain_backbone"),
            loader_code=loader_code,
            paradigm_code=paradigm_code,
        message:
            "Pretraining {wildcards.backbone} on the study's own images"
        script:
            "../workflow_scripts/pretrain_backbone.py"
