"""What a sweep may choose about the training of its SAEs, beside the paper's recipe.

Light, because configs are checked by it; shares of a run are turned into steps where it is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from visae.base.errors import UserError

SHAPES = ("linear", "cosine")

HALVES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""The usual prefixes of a Matryoshka dictionary."""


@dataclass(frozen=True)
class Schedule:
    """How the learning rate goes: it rises over the first steps and falls over the last.

    warm_up, decay: shares of the run's steps. shape: of the fall, `linear` or `cosine`, to 0.
    """

    warm_up: float = 0.0
    decay: float = 0.0
    shape: str = "linear"

    def __post_init__(self):
        for name in ("warm_up", "decay"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UserError(
                    f"schedule.{name} is {share:g} of the run: write a share of its steps, from 0 "
                    "to 1"
                )
        if self.warm_up + self.decay > 1:
            raise UserError(
                f"schedule.warm_up {self.warm_up:g} and schedule.decay {self.decay:g} are together "
                "longer than the run: lower one of them"
            )
        if self.shape not in SHAPES:
            raise UserError(f"schedule.shape is {self.shape!r}: write {' or '.join(SHAPES)}")

    def factor(self, step: int, steps: int) -> float:
        """What the learning rate of step `step`, counted from 0, of `steps` is multiplied by.

        Step s of a warm-up of n steps has (s + 1) / n, the last but s of a fall has (s + 1) / n.
        """
        rise, fall = round(self.warm_up * steps), round(self.decay * steps)
        left = steps - step
        if step < rise:
            return (step + 1) / rise
        if left > fall:
            return 1.0
        if self.shape == "linear":
            return left / fall
        return (1 + math.cos(math.pi * (fall - left) / fall)) / 2

    def __str__(self):
        parts = [f"rising over {self.warm_up:.0%} of the steps"] if self.warm_up else []
        parts += [f"{self.shape} fall to 0 over the last {self.decay:.0%}"] if self.decay else []
        return ", then ".join(parts) or "constant"


@dataclass(frozen=True)
class Auxiliary:
    """A loss that lets dead features explain what the others leave (`visae.sae.auxiliary`).

    dead_after: tokens without an active code after which a feature is dead. coefficient: of the
    loss. k: dead features per token that may be active in it; None for half the width.
    """

    dead_after: int
    coefficient: float = 1 / 32
    k: int | None = None

    def __post_init__(self):
        for name in ("dead_after", "coefficient", "k"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"auxiliary.{name} is {value:g}: it must be positive")

    def __str__(self):
        k = "half the width" if self.k is None else f"{self.k}"
        return (
            f"coefficient {self.coefficient:.4g}, {k} features per token, dead after "
            f"{self.dead_after} tokens"
        )


@dataclass(frozen=True)
class Resampling:
    """Features that are dead are drawn anew (`visae.sae.resampling`).

    every: tokens after which those are that have had no active code since the last time. until:
    share of the run after which none are.
    """

    every: int
    until: float = 0.5

    def __post_init__(self):
        if not self.every > 0:
            raise UserError(f"resampling.every is {self.every:g}: it must be positive")
        if not 0 < self.until <= 1:
            raise UserError(
                f"resampling.until is {self.until:g} of the run: write a share above 0, up to 1"
            )

    def __str__(self):
        return f"every {self.every} tokens until {self.until:.0%} of the run"


SECTIONS = {"schedule": Schedule, "auxiliary": Auxiliary, "resampling": Resampling}
"""Setting → what its value is, which a config writes as a mapping."""


def as_settings(own: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as TrainingSettings has them, of what a config writes for a sweep.

    Raises UserError for a mapping with keys that a setting has not, or a value out of place.
    """
    return {name: _as_setting(name, value) for name, value in own.items()}


def _as_setting(name, value):
    if isinstance(value, list):
        return tuple(value)
    if name not in SECTIONS or not isinstance(value, Mapping):
        return value
    kind = SECTIONS[name]
    known = [each.name for each in fields(kind)]
    if unknown := [key for key in value if key not in known]:
        raise UserError(f"{name} has the key '{unknown[0]}'; known keys: {', '.join(known)}")
    needed = [each.name for each in fields(kind) if each.default is MISSING]
    if missing := [key for key in needed if key not in value]:
        raise UserError(f"{name} lacks the key '{missing[0]}'; add it")
    return kind(**value)


def in_words(own: Mapping[str, Any], named: bool = True) -> str:
    """`loss sum; schedule linear fall …` of settings as a config writes them; empty for none.

    named: whether the names of settings are said as well.
    """
    parts = []
    for name, value in as_settings(own).items():
        if isinstance(value, Mapping | tuple):
            value = ", ".join(map(str, value.values() if isinstance(value, Mapping) else value))
        said = "none" if value is None else str(value)
        parts.append(f"{name.replace('_', ' ')} {said}" if named else said)
    return "; ".join(parts)


def check_prefixes(prefixes: Sequence[float] | None, random: int | None) -> None:
    """UserError unless prefixes ascend to the whole dictionary, and are fixed or random.

    prefixes: shares of the features, the last of which is 1, or numbers of features.
    """
    if random is not None:
        if prefixes is not None:
            raise UserError(
                "prefixes and random_prefixes are both given: a prefix is fixed or drawn, so take "
                "one of them out"
            )
        if random != int(random) or random < 2:
            raise UserError(f"random_prefixes is {random}: write a whole number from 2 on")
    if prefixes is None:
        return
    listed = ", ".join(f"{each:g}" for each in prefixes)
    if not prefixes or not all(a < b for a, b in zip([0, *prefixes], prefixes, strict=False)):
        raise UserError(f"prefixes are {listed or 'none'}: write ascending numbers above 0")
    last = prefixes[-1]
    if last < 1:
        raise UserError(
            f"prefixes are {listed}, which end at {last:g} of the features: let the last be 1"
        )
    if last > 1 and any(each != int(each) for each in prefixes):
        raise UserError(
            f"prefixes are {listed}: write shares that end at 1, or whole numbers of features"
        )


def prefix_stops(prefixes: Sequence[float] | None, features: int) -> list[int]:
    """The number of features in each prefix of a dictionary of `features`, the last of them all.

    Raises UserError where shares come to no new feature, or numbers do not end at `features`.
    """
    prefixes = HALVES if prefixes is None else prefixes
    shares = prefixes[-1] == 1
    stops = [round(each * features) if shares else int(each) for each in prefixes]
    listed = ", ".join(map(str, stops))
    if stops[-1] != features:
        raise UserError(
            f"prefixes are {listed}, which do not end at its {features} features: let the last be "
            f"{features}, or write shares that end at 1"
        )
    if not all(a < b for a, b in zip([0, *stops], stops, strict=False)):
        raise UserError(
            f"prefixes of its {features} features are {listed}, two of which are the same: write "
            "fewer, or larger, shares"
        )
    return stops
