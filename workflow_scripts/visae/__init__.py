"""The library behind the workflow: everything that can be used and tested without Snakemake."""
