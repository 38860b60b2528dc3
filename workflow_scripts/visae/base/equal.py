"""When two floats are the same value: the one rule for ranks, orders, the best, and verdicts.

Values that are equal on paper differ in their last bits where they were summed in another order.
Differences of up to `RELATIVE` of the larger one are such rounding, and so are those of up to
`ABSOLUTE` between numbers near 0, which differences of scores are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

RELATIVE = 1e-12
"""A mean over a million floats is exact up to this; scores of real data lie further apart."""
ABSOLUTE = 1e-14


def same(first: float, second: float) -> bool:
    """Whether two numbers are one value."""
    return math.isclose(first, second, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def above(number: float, bound: float) -> bool:
    """Whether a number lies above a bound, and is not the bound itself."""
    return number > bound and not same(number, bound)


def at_least(number: float, bound: float) -> bool:
    """Whether a number lies above a bound, or is the bound itself."""
    return number >= bound or same(number, bound)


def settled(values: Iterable[float]) -> list[float]:
    """The values, with those that are one value replaced by the smallest of them."""
    values = [float(value) for value in values]
    stands_for, last = {}, None
    for value in sorted(set(values)):
        stands_for[value] = stands_for[last] if last is not None and same(last, value) else value
        last = value
    return [stands_for[value] for value in values]


def settled_by_name(values: Mapping[str, float]) -> dict[str, float]:
    """`settled` of {name: value}."""
    return dict(zip(values, settled(values.values()), strict=True))


def ranked(values: Mapping[str, float | None], ascending: bool = False) -> list[list[str]]:
    """[[names of one value], …] by falling (or rising) value, without those of unknown value."""
    known = {name: value for name, value in values.items() if value is not None}
    groups = {}
    for name, value in settled_by_name(known).items():
        groups.setdefault(value, []).append(name)
    return [groups[value] for value in sorted(groups, reverse=not ascending)]


def named(members: Iterable[str]) -> str:
    """Names of one value in one word, `clip = siglip`: no order of a list decides between them."""
    return " = ".join(members)


def names(word: str) -> list[str]:
    """The names in a word of `named`."""
    return word.split(" = ")
