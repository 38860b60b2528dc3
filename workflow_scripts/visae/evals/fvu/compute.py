"""M2: fraction of variance unexplained, with sparsity and dead features.

Paper: section 4.2, Eq. 4; Table 2 (mean L0, dead features).
"""

import numpy as np

from visae.evals.results import Score

DENSE_SHARE = 0.01
"""A feature that is active on more than this share of the tokens is dense."""


def fvu(squared_error, total_squares, firing_count, tokens, l0_sum):
    """Score M2 from sums over all tokens.

    squared_error: Σ‖x − x̂‖² of the SAE; total_squares: Σ‖x − x̄‖² of the backbone (the mean is
    the mean vector), both in normalised units, in which the ratio is that of Eq. 4.
    firing_count: int64 [F]; tokens: number of tokens; l0_sum: active codes over all tokens.

    Arrays: `firing_share` float64 [F].
    """
    firing_count = np.asarray(firing_count)
    features = firing_count.size
    dead = int((firing_count == 0).sum())
    dense = int((firing_count > DENSE_SHARE * tokens).sum())
    reason = None
    if tokens == 0:
        reason = "there are no tokens"
    elif not total_squares > 0:
        reason = f"the activations do not vary (Σ‖x − x̄‖² is {float(total_squares)})"
    return Score(
        metric="fvu",
        value=None if reason else float(squared_error) / float(total_squares),
        reason=reason,
        definition=(
            "Σ‖x − x̂‖² / Σ‖x − x̄‖² over all patch tokens of the evaluation set, x̄ the mean vector"
        ),
        higher_is_better=False,
        readings={
            "mean_l0": float(l0_sum) / tokens if tokens else None,
            "dead_features": dead,
            "dead_fraction": dead / features,
            "dense_features": dense,
            "dense_fraction": dense / features,
        },
        details={"dense_share": DENSE_SHARE},
        data={"tokens": int(tokens), "features": features},
        arrays={"firing_share": firing_count / max(tokens, 1)},
    )
