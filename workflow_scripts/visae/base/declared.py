"""What the arrays of a format are: types, axes, bounds. Said once per format, checked on reading.

A seal says that a file is what was written. This says that what was written can be computed with:
compiled kernels look at no index, and NaN or infinity would pass through every sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Array:
    """One array of a format, whose floats are finite."""

    kind: str
    """NumPy's name of its type: `float32`."""
    axes: str
    """Names of its axes, sizes among them: `F N`, `n h w 3`. Axes of one name are of one size."""
    least: int | None = None
    """The smallest value allowed."""
    below: str | None = None
    """The axis that its values are indices of."""
    apart: bool = False
    """Whether its values are read in parts, later: they are not looked at here."""


def check_arrays(
    declared: Mapping[str, Array], arrays: Mapping[str, Any], **sizes: int
) -> dict[str, int]:
    """Size of each axis, once all of `arrays` (name → array or HDF5 data set) are as declared.

    sizes: of axes that are known before. Raises ValueError, which names the array and what is wrong
    (`visae.base.reading.guarded` adds the file).
    """
    for name, array in declared.items():
        if name not in arrays:
            raise ValueError(f"{name} is not in it")
        found, axes = arrays[name], array.axes.split()
        if found.dtype != np.dtype(array.kind) or len(found.shape) != len(axes):
            raise ValueError(
                f"{name} is {found.dtype} of shape {found.shape}, not {array.kind} [{array.axes}]"
            )
        for axis, size in zip(axes, found.shape, strict=True):
            wanted = int(axis) if axis.isdecimal() else sizes.setdefault(axis, size)
            if size != wanted:
                raise ValueError(f"{name} [{array.axes}] has {axis} = {size}, not {wanted}")
    for name, array in declared.items():
        if not array.apart:
            _check_values(name, array, arrays[name], sizes)
    return sizes


def _check_values(name, array, values, sizes):
    if not values.size or values.dtype.kind not in "iuf":
        return
    least, largest = values.min(), values.max()  # NaN, where there is one
    if not (np.isfinite(least) and np.isfinite(largest)):
        raise ValueError(f"{name} holds NaN or infinity")
    if array.least is not None and least < array.least:
        raise ValueError(f"{name} holds {least}, which is below {array.least}")
    if array.below is not None and largest >= sizes[array.below]:
        raise ValueError(
            f"{name} holds {largest}, but is of indices below {array.below} = {sizes[array.below]}"
        )
