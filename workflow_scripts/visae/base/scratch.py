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


def scratch(name: str, kind: DTypeLike, *shape: int) -> np.ndarray:
    """An array with arbitrary contents: this thread's of that name, until it is asked for again."""
    size, arrays = math.prod(shape), vars(_kept)
    kept = arrays.get(name)
    if kept is None or kept.dtype != kind or len(kept) < size:
        kept = arrays[name] = np.empty(size, kind)
    return kept[:size].reshape(shape)
