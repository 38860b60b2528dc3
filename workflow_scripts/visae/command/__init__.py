"""The command `visae`: each of its verbs stands for a command of Snakemake, which it prints."""
