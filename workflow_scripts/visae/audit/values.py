"""What metrics say of single features."""

import numpy as np

from visae.audit.metrics import METRICS
from visae.base.reading import guarded
from visae.evals.results import arrays_path, read_arrays


def values_of_features(metric, path, features):
    """float64 [F]: a metric's value of each feature, NaN where it has none.

    path: of the score, whose arrays lie beside. features: F. Raises UserError where the values are
    not of so many.
    """
    name = METRICS[metric][1]
    arrays = read_arrays(path, name)
    # M5 scores some features only, and says which.
    scored = arrays["features"] if "features" in arrays else np.arange(features)
    found = np.full(features, np.nan)
    with guarded(arrays_path(path), "values of these features"):
        if scored.shape != arrays[name].shape or not np.isin(scored, np.arange(features)).all():
            raise ValueError(f"they are not of {features} features")
        found[scored] = arrays[name]
    return found
