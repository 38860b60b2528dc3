"""Most iterations of probes, free of NumPy for the Snakefile's sake."""

MAX_ITER = 1000
"""Of a backbone's own features on the evaluation data set (M3)."""
DOMAIN_MAX_ITER = 500
"""Of a backbone's own features on another data set (M6)."""
READOUT_MAX_ITER = 500
"""Of a probe on some features of an SAE (M4, M6)."""
