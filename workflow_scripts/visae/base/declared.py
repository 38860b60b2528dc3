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
    """Whether its values are read in parts, later: each part is looked at when it is read."""
    sparse: bool = False
    """Whether only the values that are not 0 are stored (`visae.base.sparse_hdf5`)."""


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
            check_values(name, array, arrays[name], sizes)
    return sizes


def check_values(
    name: str, array: Array, values: np.ndarray, sizes: Mapping[str, int] | None = None
) -> None:
    """ValueError unless `values`, all or a part of an array, are numbers that `array` allows.

    sizes: of the axes; needed where the values are indices.
    """
    if not values.size or values.dtype.kind not in "iuf":
        return
    if values.dtype.kind == "f" and not all_finite(values):
        raise ValueError(f"{name} holds NaN or infinity")
    if array.least is not None and (least := _least(values, array.least)) < array.least:
        raise ValueError(f"{name} holds {least}, which is below {array.least}")
    if array.below is not None and (largest := values.max()) >= (sizes or {})[array.below]:
        raise ValueError(
            f"{name} holds {largest}, but is of indices below {array.below} = "
            f"{(sizes or {})[array.below]}"
        )


def all_finite(values: np.ndarray) -> bool:
    """Whether all floats are finite: faster than `numpy.isfinite`. Bits of bfloat16 are uint16.

    Numbers whose exponent has all bits are ±inf or NaN. Read as signed integers, the largest of
    them are the positive ones; as unsigned integers, the negative ones.
    """
    size = values.dtype.itemsize
    infinity = 0x7F80 if values.dtype == np.uint16 else _INFINITY[size]
    signed, unsigned = (values.view(f"{sign}{size}") for sign in "iu")
    sign = 1 << (8 * size - 1)
    return signed.max(initial=0) < infinity and unsigned.max(initial=0) < sign + infinity


_INFINITY = {2: 0x7C00, 4: 0x7F800000, 8: 0x7FF << 52}
"""The bits of infinity in floats of so many bytes."""


def _least(values, allowed):
    """The smallest of some finite numbers, or one that is `allowed` where none is below it."""
    if values.dtype.kind == "f" and allowed == 0:  # NumPy is slow with float16
        bits = values.view(f"i{values.dtype.itemsize}")
        if bits.min() >= 0:  # no sign
            return allowed
    return values.min()
