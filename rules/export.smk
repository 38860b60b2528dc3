# SAEs → the layout of the published checkpoints, for others: `snakemake --cores 1 -- export`, no part of `all`.

from visae.base.paths import EXPORT_FILES


rule export:
    input:
        lambda wildcards: [
            PATHS.export(sae.name, file, sae.place)
            for sae in STUDY.saes()
            for file in EXPORT_FILES
        ],
    message:
        "All SAEs of the study are exported"


for sweep in jobs.trained_together(STUDY):

    rule:
        name:
            f"export_{sweep.name}"
        input:
            saes=sae_weights(sweep.sae_names()),
        output:
            exported=[
                PATHS.export(name, file) for name in sweep.sae_names() for file in EXPORT_FILES
            ],
        log:
            f"<logs>/export/{sweep.name}-{{backbone}}-layer{{layer}}.log",
        benchmark:
            f"<benchmarks>/export/{sweep.name}-{{backbone}}-layer{{layer}}.tsv"
        wildcard_constraints:
            **at_places(sweep.layers),
        localrule: True
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=memory(4000),
            runtime=minutes(20),
        params:
            code=code("export_saes"),
        message:
            f"Exporting the SAEs of {sweep.name} on {{wildcards.backbone}}"
        script:
            "../workflow_scripts/export_saes.py"
