# Train cache → SAEs: one pass over the cache trains all SAEs of a (sweep, backbone).

for sweep in STUDY.sweeps.values():
    for job, names in sweep.training_batches():

        rule:
            name:
                f"train_{job}"
            input:
                cache=cache_path(STUDY.training),
                held_out=cache_path(STUDY.threshold),
            output:
                saes=sae_paths(names, SAE_FILES),
            log:
                f"<logs>/train/{job}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/train/{job}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            conda:
                "../envs/torch.yaml"
            threads: 4
            resources:
                gpu=1,
                mem_mb=memory(32000),
                runtime=minutes(240),
            params:
                saes=names,
                training=STUDY.training_settings(sweep),
                # Outside `output`, because Snakemake deletes the outputs of a failed job.
                resume=f"<results>/resume/{job}-{{backbone}}-layer{{layer}}",
                code=code("train_saes"),
            message:
                f"Training the SAEs of {job} on {{wildcards.backbone}}, block {{wildcards.layer}}"
            script:
                "../workflow_scripts/train_saes.py"
