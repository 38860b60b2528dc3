"""Scratch arrays that a thread uses again and again.

The operating system clears what it hands out, large arrays in pages of megabytes. Where few of an
array's elements are written, that takes longer than the work on them.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import DTypeLike

_kept = threading.local()

LINE = 64
"""Bytes of a line of the cache: a vector that lies across two of them is read twice."""


def scratch(name: str, kind: DTypeLike, *shape: int) -> np.ndarray:
    """An array with arbitrary contents: this thread's of that name, until it is asked for again."""
    size, arrays = math.prod(shape), vars(_kept)
    kept = arrays.get(name)
    if kept is None or kept.dtype != kind or len(kept) < size:
        kept = arrays[name] = aligned(kind, size)
    return kept[:size].reshape(shape)


def aligned(kind: DTypeLike, *shape: int) -> np.ndarray:
    """A new array with arbitrary contents that begins where a line of the cache does."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    held = np.empty(size + LINE, np.uint8)
    start = -held.ctypes.data % LINE
    return held[start : start + size].view(kind).reshape(shape)
