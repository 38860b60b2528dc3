"""Training curves of one SAE as points of small SVG panels."""

import math
from typing import NamedTuple

from visae.report.cells import number
from visae.sae.folder import read_log

WIDTH, HEIGHT = 180, 64
"""Of a panel, in SVG units."""

_MOST_POINTS = 120

# Key of a logging window, its name, and whether its axis is logarithmic. The others start at 0, so
# that no axis magnifies rounding.
_PANELS = (
    ("loss", "loss", True),
    ("l0", "L0", False),
    ("dead_fraction", "dead features", False),
)


class Panel(NamedTuple):
    """One curve: the `points` of an SVG polyline, and the numbers that stand beside it."""

    name: str
    logarithmic: bool
    points: str
    alone: tuple | None
    """The place of the only point, which no line shows."""
    first: str
    last: str
    low: str
    high: str


class Curves(NamedTuple):
    """The panels of one SAE and the last step that was logged."""

    panels: list
    steps: str


def last_step(path):
    """The last step in a `training.jsonl`; None if it is empty."""
    windows = read_log(path)
    return windows[-1]["step"] if windows else None


def read_curves(path):
    """The curves in a `training.jsonl`; None if it is empty (an imported SAE)."""
    windows = read_log(path)
    if not windows:
        return None
    every = -(-len(windows) // _MOST_POINTS)
    kept = [*windows[:-1:every], windows[-1]]
    steps = [window["step"] for window in kept]
    panels = [
        _panel(name, logarithmic, steps, [window[key] for window in kept])
        for key, name, logarithmic in _PANELS
    ]
    return Curves(panels, number(steps[-1]))


def _panel(name, logarithmic, steps, values):
    # A loss of exactly 0 has no place on a logarithmic axis.
    logarithmic = logarithmic and min(values) > 0
    heights = [math.log(value) for value in values] if logarithmic else values
    low, high = min(heights) if logarithmic else 0, max(heights)
    places = [
        (f"{WIDTH * step / steps[-1]:.1f}", f"{HEIGHT * _fall(height, low, high):.1f}")
        for step, height in zip(steps, heights, strict=True)
    ]
    points = " ".join(map(",".join, places))
    alone = places[0] if len(places) == 1 else None
    ends = (values[0], values[-1], min(values) if logarithmic else 0, max(values))
    return Panel(name, logarithmic, points, alone, *(number(float(value), 3) for value in ends))


def _fall(height, low, high):
    """How far below the top a height is, 0 … 1; a constant runs through the middle."""
    return (high - height) / (high - low) if high > low else 0.5
