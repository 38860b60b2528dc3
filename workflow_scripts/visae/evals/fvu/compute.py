"""M2: fraction of variance unexplained, with sparsity and dead features.

Paper: section 4.2, Eq. 4; Table 2 (mean L0, dead features).
"""

from __future__ import annotations

import numpy as np

from visae.base.arrays import Float, Int
from visae.evals.results import Result

DENSE_SHARE = 0.01
"""A feature that is active on more than this share of the tokens is dense."""


def compute(inputs, settings, job):
    """M2 of an SAE."""
    encoded, raw = inputs.encoded(), inputs.raw()
    return fvu(
        encoded.squared_error,
        raw.total_squares,
        encoded.firing_count,
        encoded.tokens,
        encoded.l0_sum,
        encoded.residual_sum,
        raw.token_mean,
    )


def fvu(
    squared_error: float,
    total_squares: float,
    firing_count: Int[np.ndarray, " F"],
    tokens: int,
    l0_sum: int,
    residual_sum: float,
    token_mean: Float[np.ndarray, " D"],
) -> Result:
    """M2 from sums over all tokens.

    squared_error: Σ‖x − x̂‖² of the SAE; total_squares: Σ‖x − x̄‖² of the backbone (the mean is
    the mean vector), both in normalised units, in which the ratio is that of Eq. 4.
    residual_sum: Σ(x − x̂) over tokens and dimensions; token_mean: x̄, float [D].
    firing_count: int64 [F]; tokens: number of tokens; l0_sum: active codes over all tokens.

    Arrays: `firing_share` float64 [F].
    """
    features = firing_count.size
    dead = int((firing_count == 0).sum())
    dense = int((firing_count > DENSE_SHARE * tokens).sum())
    reason = None
    if tokens == 0:
        reason = "there are no tokens"
    elif not total_squares > 0:
        reason = f"the activations do not vary (Σ‖x − x̄‖² is {float(total_squares)})"
    return Result(
        value=None if reason else float(squared_error) / float(total_squares),
        reason=reason,
        readings={
            "mean_l0": float(l0_sum) / tokens if tokens else None,
            "dead_features": dead,
            "dead_fraction": dead / features,
            "dense_features": dense,
            "dense_fraction": dense / features,
            "as_run": None
            if reason
            else ratio_of_scalar_variances(
                squared_error, residual_sum, total_squares, token_mean, tokens
            ),
        },
        details={"dense_share": DENSE_SHARE},
        data={"tokens": int(tokens), "features": features},
        arrays={"firing_share": firing_count / max(tokens, 1)},
    )


def ratio_of_scalar_variances(
    squared_error: float,
    residual_sum: float,
    total_squares: float,
    token_mean: Float[np.ndarray, " D"],
    tokens: int,
) -> float | None:
    """The reading `as_run`: sums over tokens and dimensions alike, one mean for all dimensions.

    Arguments as for `fvu`. None if the activations' mean, so taken, exceeds their size.
    """
    token_mean = np.asarray(token_mean, np.float64)
    squares = total_squares + tokens * (token_mean**2).sum()  # Σ‖x‖²
    spread = squares / tokens - token_mean.sum() ** 2
    left = squared_error / tokens - (residual_sum / tokens) ** 2
    return float(left / spread) if spread > 0 and left >= 0 else None
