"""Which features and which of their images are looked at: chosen by rule, or named."""

import itertools

import numpy as np

from visae.base.errors import UserError

KINDS = ("mean-representative", "top 5 %")
_HIGH = 0.975  # the middle of the top 5 %

BANDS = ("top", "middle", "low")
_PLACES = {"middle": 0.5, "low": 0.9}
"""Band → where its middle lies among the active images, from the largest code downwards."""


def audit_features(moran_f):
    """{kind: feature} from per-feature Moran's I [F] (NaN: not evaluable); ties: lowest index.

    Appendix H, Figure 5. The mean-representative feature is the one nearest to the mean. The paper
    takes "a" feature of the top 5 %; here it is the one nearest to the 97.5th percentile. Empty
    without evaluable features.
    """
    moran_f = np.asarray(moran_f, dtype=np.float64)
    if np.isnan(moran_f).all():
        return {}
    targets = (np.nanmean(moran_f), np.nanquantile(moran_f, _HIGH))
    return {
        kind: int(np.nanargmin(np.abs(moran_f - target)))
        for kind, target in zip(KINDS, targets, strict=True)
    }


def by_rule(number, frequency_f, values):
    """{feature: why} of at most `number` live features.

    Taken in turn from these lists: the largest values of each metric, and features evenly spread
    over the ranks of firing frequency, which no metric has preferred. frequency_f: 0 for dead
    features. values: short name of a metric → its value per feature [F], NaN where there is none.
    """
    live = np.flatnonzero(frequency_f)
    number = min(number, len(live))
    lists = {}
    for metric, values_f in values.items():
        known = live[~np.isnan(values_f[live])]
        lists[f"high {metric}"] = known[np.argsort(-values_f[known], kind="stable")]
    ranked = live[np.argsort(frequency_f[live], kind="stable")]
    share = -(-number // (len(lists) + 1))
    spread = [(2 * place + 1) * len(live) // (2 * share) for place in range(share)]
    # The others follow for the case that the lists have too much in common.
    lists["evenly spread over frequency"] = [*ranked[spread], *np.delete(ranked, spread)]
    chosen = {}
    for turn in itertools.zip_longest(*lists.values()):
        for why, feature in zip(lists, turn, strict=True):
            if feature is not None and len(chosen) < number:
                chosen.setdefault(int(feature), why)
    return chosen


def check_named(features, live_f, sae, key, where):
    """UserError unless all of `features` are live features of the SAE that `sae` names.

    key: of the config, which names them. where: what a dead feature fires on none of.
    """
    for feature in features:
        if not 0 <= feature < len(live_f):
            raise UserError(
                f"config: {key} asks for feature {feature} of {sae}, which has "
                f"{len(live_f)} features, numbered 0 to {len(live_f) - 1}; name one of these"
            )
        if not live_f[feature]:
            raise UserError(
                f"config: {key} asks for feature {feature} of {sae}, which is dead: it fires on no "
                f"{where}; name a live one"
            )


def bands_of(codes_n, top_images, number):
    """{band: numbers of images}: the top ones, and `number` each around the middle and low down.

    codes_n: pooled codes [N] of a feature. top_images: those of the largest codes, which are known
    more exactly. Of the other images on which it is active, from the largest code downwards, the
    bands lie around one half and nine tenths. No image stands in two bands.
    """
    others = np.setdiff1d(np.flatnonzero(codes_n), top_images)
    others = others[np.argsort(-codes_n[others], kind="stable")]
    middle, low = (round(share * len(others) - number / 2) for share in _PLACES.values())
    half = len(others) // 2
    low = max(min(low, len(others) - number), half)
    middle = max(min(middle, low - number), 0)
    return {
        "top": np.asarray(top_images),
        "middle": others[middle : min(middle + number, low)],
        "low": others[low : low + number],
    }
