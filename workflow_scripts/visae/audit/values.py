"""What metrics say of single features."""

import numpy as np

from visae.audit.metrics import METRICS
from visae.evals.results import read_arrays


def values_of_features(metric, path, features):
    """float64 [F]: a metric's value of each feature, NaN where it has none.

    path: of the score, whose arrays lie beside. features: F.
    """
    arrays = read_arrays(path)
    values = arrays[METRICS[metric][1]]
    # M5 scores some features only, and says which.
    found = np.full(features, np.nan)
    found[arrays.get("features", np.arange(len(values)))] = values
    return found
