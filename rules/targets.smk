# What can be asked for by name, besides what a rule makes: a single figure is asked for as
# `figure_3`, a file by its path. Long lists are functions, made only where they are asked for.


rule saes:
    input:
        lambda wildcards: [
            PATHS.sae(sae.name, file, sae.place) for sae in STUDY.saes() for file in SAE_FILES
        ],
    message:
        "All SAEs of the study are trained"


rule metrics:
    input:
        lambda wildcards: score_paths(STUDY.metrics()),
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


rule features:
    input:
        FEATURE_PAGES,
    message:
        "The pages of features are written"
