"""Arrays' types and shapes in annotations: `Float[np.ndarray, "F N"]` is float of [F, N].

The names are jaxtyping's. Type checkers read them, and the tests check them at every call
(tests/checked_shapes.py). Jobs never look at an annotation, so they do not import jaxtyping:
a module that uses these names starts with `from __future__ import annotations`.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Num, Shaped, UInt
else:
    Bool = Float = Int = Num = Shaped = UInt = None

__all__ = ["Bool", "Float", "Int", "Num", "Shaped", "UInt"]
