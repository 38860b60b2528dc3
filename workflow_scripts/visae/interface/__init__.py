"""A finished study, used from Python: `visae.open_study("results/demo")`."""
