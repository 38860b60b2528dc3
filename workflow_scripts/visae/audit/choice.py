"""Which features Figure 5 shows: chosen by rule from M1's per-feature values (Appendix H)."""

import numpy as np

KINDS = ("mean-representative", "top 5 %")
_HIGH = 0.975  # the middle of the top 5 %


def audit_features(moran_f):
    """{kind: feature} from per-feature Moran's I [F] (NaN: not evaluable); ties: lowest index.

    The mean-representative feature is the one nearest to the mean. The paper takes "a" feature
    of the top 5 %; here it is the one nearest to the 97.5th percentile. Empty without evaluable
    features.
    """
    moran_f = np.asarray(moran_f, dtype=np.float64)
    if np.isnan(moran_f).all():
        return {}
    targets = (np.nanmean(moran_f), np.nanquantile(moran_f, _HIGH))
    return {
        kind: int(np.nanargmin(np.abs(moran_f - target)))
        for kind, target in zip(KINDS, targets, strict=True)
    }
