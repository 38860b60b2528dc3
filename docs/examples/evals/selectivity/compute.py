"""Class selectivity: how much of a feature's activity lies on the classes that it likes best."""

import numpy as np

from visae.evals.results import Result
from visae.probing.rankings import feature_blocks


def compute(inputs, settings, job):
    """The metric of an SAE."""
    encoded = inputs.encoded()
    return selectivity(encoded.codes, encoded.labels, settings["classes"])


def selectivity(codes_fn, labels, classes):
    """The metric from max-pooled codes [F, N] and labels int [N].

    Arrays: `share` float64 [F], NaN for dead features.
    """
    image_class_nc = np.asarray(labels)[:, None] == np.unique(labels)
    mass_fc = np.concatenate(
        [block.astype(np.float64) @ image_class_nc for _, block in feature_blocks(codes_fn)]
    )
    total_f = mass_fc.sum(axis=1)
    own_f = np.sort(mass_fc, axis=1)[:, -classes:].sum(axis=1)
    share_f = np.divide(own_f, total_f, out=np.full(len(own_f), np.nan), where=total_f > 0)
    live = share_f[~np.isnan(share_f)]
    return Result(
        value=float(live.mean()) if live.size else None,
        reason=None if live.size else "no feature is active on any image",
        readings={"median": float(np.median(live)) if live.size else None},
        details={"classes": classes},
        data={"features": len(share_f), "live_features": live.size},
        arrays={"share": share_f},
    )
