"""What the rules of claims compute: small functions from evidence to a number or a list of names.

A pattern is a key with one `*`, which stands in turn for the members of `over`: a list, or one
of the names in `GROUPS`. A function raises `Missing` where evidence lacks a key.
"""

import statistics
from itertools import permutations
from typing import NamedTuple

from visae.base import equal
from visae.study.roles import BACKBONES, PAPER_METRICS
from visae.tables.statistics import spearman

GROUPS = {
    "metrics": PAPER_METRICS,
    "backbones": BACKBONES,
    "others": tuple(backbone for backbone in BACKBONES if backbone != "mae"),
    "tasks": ("retrieval", "cub200", "dtd", "inaturalist", "segmentation"),
    "thresholds": tuple(f"alpha_{a}/beta_{b}" for a in (0.7, 0.8, 0.9) for b in (0.3, 0.5, 0.7)),
}


class Missing(Exception):
    """Evidence lacks what a rule needs; the message says what."""


class Found(NamedTuple):
    """What a rule found, and how far the rounding of printed numbers may have moved it."""

    value: float | int | str
    slack: float = 0.0


def correlate(ranks, scores):
    """Spearman's ρ of {backbone: rank} with {backbone: score}, over the five backbones.

    Ranks have 1 for the best: ρ is turned to be positive where these have the higher scores.
    """
    return spearman([-ranks[b] for b in BACKBONES], [scores[b] for b in BACKBONES])


def _value(evidence, key):
    if key not in evidence.values:
        raise Missing(f"no value of {key}")
    return evidence.values[key]


def _members(over):
    return GROUPS[over] if isinstance(over, str) else tuple(over)


def _values(evidence, pattern, over):
    """{member: value}; every member must have one."""
    members = _members(over)
    keys = {member: pattern.replace("*", member) for member in members}
    absent = [key for key in keys.values() if key not in evidence.values]
    if absent:
        shown = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
        raise Missing(f"no value of {shown}")
    return {member: evidence.values[key] for member, key in keys.items()}


def value(evidence, key, absolute=False):
    """One number, or its size."""
    number = _value(evidence, key)
    return Found(abs(number) if absolute else number, evidence.rounding.get(key, 0.0))


def gap(evidence, key, less, absolute=False):
    """One number less another, or their distance."""
    difference = _value(evidence, key) - _value(evidence, less)
    slack = sum(evidence.rounding.get(name, 0.0) for name in (key, less))
    return Found(abs(difference) if absolute else difference, slack)


def ratio(evidence, key, by):
    """One number over another."""
    top, bottom = _value(evidence, key), _value(evidence, by)
    if bottom == 0:
        raise Missing(f"{by} is 0")
    error = sum(
        evidence.rounding.get(name, 0.0) / abs(number)
        for name, number in ((key, top), (by, bottom))
        if number
    )
    return Found(top / bottom, error * abs(top / bottom))


def smallest(evidence, pattern, over):
    """The smallest of several numbers."""
    return _extreme(evidence, pattern, over, min)


def largest(evidence, pattern, over):
    """The largest of several numbers."""
    return _extreme(evidence, pattern, over, max)


def _extreme(evidence, pattern, over, choose):
    values = _values(evidence, pattern, over)
    member = choose(values, key=values.get)
    return Found(values[member], evidence.rounding.get(pattern.replace("*", member), 0.0))


def largest_gap(evidence, pattern, less, over):
    """The largest distance of two numbers over members."""
    first, second = (_values(evidence, p, over) for p in (pattern, less))
    return Found(max(abs(first[member] - second[member]) for member in first))


def mean(evidence, pattern, over):
    """The mean of several numbers."""
    return Found(statistics.fmean(_values(evidence, pattern, over).values()))


def mean_ratio(evidence, pattern, by, over):
    """The mean over members of the ratio of two numbers."""
    top, bottom = (_values(evidence, p, over) for p in (pattern, by))
    if 0 in bottom.values():
        raise Missing(f"one of {by} is 0")
    return Found(statistics.fmean(top[member] / bottom[member] for member in top))


def count(evidence, pattern, over, above=None, below=None, at_least=None):
    """How many of several numbers are above, below, or at least, a bound."""
    values = _values(evidence, pattern, over).values()
    return Found(
        sum(
            (above is None or equal.above(number, above))
            and (below is None or equal.above(below, number))
            and (at_least is None or equal.at_least(number, at_least))
            for number in values
        )
    )


def exceeding(evidence, pattern, than, over):
    """Names of the members whose first number is larger than their second."""
    first, second = (_values(evidence, p, over) for p in (pattern, than))
    return Found(", ".join(m for m in first if equal.above(first[m], second[m])) or "none")


def order(evidence, pattern, over, ascending=False):
    """Names of the members by falling (or rising) number."""
    groups = equal.ranked(_values(evidence, pattern, over), ascending)
    return Found(", ".join(_named(evidence, group) for group in groups))


def first(evidence, pattern, over, ascending=False):
    """Name of the member with the largest (or smallest) number."""
    return Found(_named(evidence, equal.ranked(_values(evidence, pattern, over), ascending)[0]))


def _named(evidence, names):
    """Names of one value in one word: no order of a list decides between equal numbers."""
    if len(names) > 1 and evidence.printed:
        raise Missing(f"{' and '.join(names)} are printed alike")
    return equal.named(names)


def _settings_lowest(evidence, pattern, over, settings, member):
    """The settings (`?` in the pattern) in which `member` is lowest."""
    won = []
    for setting in _members(settings):
        lowest = equal.ranked(
            _values(evidence, pattern.replace("?", setting), over), ascending=True
        )[0]
        if member in lowest:
            if len(lowest) > 1:
                raise Missing(f"tie of {' and '.join(lowest)} at {setting}")
            won.append(setting)
    return won


def times_lowest(evidence, pattern, over, settings, member):
    """In how many settings a member is lowest."""
    return Found(len(_settings_lowest(evidence, pattern, over, settings, member)))


def settings_not_lowest(evidence, pattern, over, settings, member):
    """The settings in which a member is not lowest."""
    won = _settings_lowest(evidence, pattern, over, settings, member)
    return Found("; ".join(s for s in _members(settings) if s not in won) or "none")


def overall(evidence, family):
    """First and last backbone by mean rank over the metrics, under one family."""
    means = {
        backbone: statistics.fmean(
            _value(evidence, f"rank_{family}/{metric}/{backbone}") for metric in PAPER_METRICS
        )
        for backbone in BACKBONES
    }
    ranked = equal.ranked(means, ascending=True)
    return Found(f"{equal.named(ranked[0])} first, {equal.named(ranked[-1])} last")


def correlation(evidence, metric, task, statistic="rho"):
    """ρ of a metric's ranks with a task's raw scores, or its p-value (`p_t`, `p_exact`)."""
    return Found(_correlation(evidence, metric, task, statistic))


def _correlation(evidence, metric, task, statistic="rho"):
    ranks = _values(evidence, f"rank/{metric}/*", "backbones")
    return _number(correlate(ranks, _values(evidence, task, "backbones")), statistic)


def between_metrics(evidence, metric, other, flipped=False):
    """ρ of the backbones' ranks by two metrics, 1 = best in both.

    `flipped`: negate ρ, because FVU is lower-is-better and the other metric higher-is-better.
    """
    ranks = [_values(evidence, f"rank/{m}/*", "backbones") for m in (metric, other)]
    rho = _number(spearman(*(list(side.values()) for side in ranks)), "rho")
    return Found(-rho if flipped else rho)


def between_scores(evidence, pattern, other):
    """ρ over the backbones of two kinds of number."""
    sides = [_values(evidence, p, "backbones") for p in (pattern, other)]
    return Found(_number(spearman(*(list(side.values()) for side in sides)), "rho"))


def _number(result, statistic) -> float:
    if result.rho is None:
        raise Missing(result.reason)
    # Differences of sums of squares of ranks leave the last digits of ρ to chance.
    return round(getattr(result, statistic), 12)


def best_metric(evidence, tasks):
    """The metric with the highest ρ to raw scores, averaged over `tasks`."""
    return Found(equal.named(equal.ranked(_mean_correlations(evidence, tasks))[0]))


def worst_metric(evidence, tasks):
    """The metric with the lowest ρ to raw scores, averaged over `tasks`."""
    return Found(equal.named(equal.ranked(_mean_correlations(evidence, tasks))[-1]))


def _mean_correlations(evidence, tasks):
    return {
        metric: statistics.fmean(
            _correlation(evidence, metric, f"raw/{task}/*") for task in _members(tasks)
        )
        for metric in PAPER_METRICS
    }


def not_weaker_on(evidence, metric, than, tasks):
    """The tasks on which `metric` has as high a ρ as one of the metrics `than`, or a higher."""
    return Found(
        ", ".join(
            task
            for task in _members(tasks)
            if any(
                equal.at_least(
                    _correlation(evidence, metric, f"raw/{task}/*"),
                    _correlation(evidence, other, f"raw/{task}/*"),
                )
                for other in than
            )
        )
        or "none"
    )


def confirmed(evidence, thresholds, p_at_most=None, statistic="p_t"):
    """How many (metric, task, threshold) have ρ at or above the threshold, and a small enough p."""
    held = 0
    for metric, task, threshold in thresholds:
        rho = _value(evidence, f"rho/{metric}/{task}")
        held += equal.at_least(rho, threshold) and (
            p_at_most is None or equal.at_least(p_at_most, _p(evidence, metric, task, statistic))
        )
    return Found(held)


def _p(evidence, metric, task, statistic):
    """The p-value of a ρ: as computed with it in a run, where there may be ties."""
    if evidence.printed:
        return _p_of(_value(evidence, f"rho/{metric}/{task}"), statistic)
    return _value(evidence, f"{statistic}/{metric}/{task}")


def p_of(evidence, key, statistic="p_t"):
    """The p-value that belongs to a printed ρ over five backbones."""
    return Found(_p_of(_value(evidence, key), statistic))


def _p_of(rho, statistic):
    """p of ρ over five backbones: that of some pair of rankings, without ties, that has this ρ."""
    for ranking in permutations(range(len(BACKBONES))):
        result = spearman(range(len(BACKBONES)), ranking)
        if abs(result.rho - rho) < 1e-6:
            return getattr(result, statistic)
    raise Missing(f"no ranking of five backbones without ties has ρ = {rho:g}")


def share_from_spread(evidence, saes):
    """The backbone's η² of M6 from each backbone's mean and sample deviation over `saes` SAEs."""
    keys = [
        pattern.replace("*", backbone)
        for pattern in ("kept/inaturalist/*", "kept_std/inaturalist/*")
        for backbone in BACKBONES
    ]
    printed = [_value(evidence, key) for key in keys]

    def share(numbers):
        means, deviations = numbers[: len(BACKBONES)], numbers[len(BACKBONES) :]
        centre = statistics.fmean(means)
        between = saes * sum((mean - centre) ** 2 for mean in means)
        within = (saes - 1) * sum(deviation**2 for deviation in deviations)
        return between / (between + within)

    slack = 0.0
    for i, key in enumerate(keys):
        moved = [*printed[:i], printed[i] + evidence.rounding.get(key, 0.0), *printed[i + 1 :]]
        slack += abs(share(moved) - share(printed))
    return Found(share(printed), slack)
