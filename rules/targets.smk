# What can be asked for by name, besides what a rule makes: a single figure is asked for as
# `figure_3`, a file by its path.


rule saes:
    input:
        [f"{folder}/{file}" for folder in sae_folders("saes") for file in SAE_FILES],
    message:
        "All SAEs of the study are trained"


rule metrics:
    input:
        score_paths(STUDY.metrics()),
    message:
        "All SAEs of the study are scored"


rule tables:
    input:
        TABLES,
    message:
        "All tables are written"


rule figures:
    input:
        FIGURES,
    message:
        "All figures are drawn"
