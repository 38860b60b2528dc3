# What can be asked for by name. A single figure is asked for as `figure_3`, a file by its path.


rule all:
    default_target: True
    message:
        "The study is complete"
    input:
        FIGURES,
        TABLES,


rule saes:
    message:
        "All SAEs of the study are trained"
    input:
        [f"{folder}/{file}" for folder in sae_folders("saes") for file in SAE_FILES],


rule metrics:
    message:
        "All SAEs of the study are scored"
    input:
        score_paths(STUDY.metrics()),


rule tables:
    message:
        "All tables are written"
    input:
        TABLES,


rule figures:
    message:
        "All figures are drawn"
    input:
        FIGURES,
