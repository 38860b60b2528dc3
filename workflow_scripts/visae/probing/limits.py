"""Iterations of the probes of a backbone's own features, free of NumPy for the Snakefile's sake."""

MAX_ITER = 1000
"""Most iterations on the evaluation data set (M3)."""
DOMAIN_MAX_ITER = 500
"""Most iterations on another data set (M6)."""
