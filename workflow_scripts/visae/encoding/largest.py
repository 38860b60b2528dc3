"""The largest codes of every feature, as exact as they were computed.

Pooled codes are stored in float16. Weights of images within a feature's top, as M5 takes them,
would move where codes are large and close: 100 and 100.05 are one value there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visae.base.arrays import Bool, Float, Int
from visae.encoding.kernels import insert_largest

TOP = 16
"""Images kept per feature: as many as M5 looks at."""


@dataclass(frozen=True)
class LargestCodes:
    """Of every feature the `TOP` images (fewer if there are fewer) of the largest pooled code."""

    codes: Float[np.ndarray, "F T"]
    """float32, descending."""
    images: Int[np.ndarray, "F T"]
    """int64, of equal codes the first."""
    least: Float[np.ndarray, " F"]
    """float32, the smallest pooled code on any image."""

    @classmethod
    def of_none(cls, features: int, images: int) -> LargestCodes:
        """To be filled with the codes of that many images."""
        shape = features, min(TOP, images)
        return cls(
            codes=np.full(shape, -1, np.float32),
            images=np.full(shape, -1, np.int64),
            least=np.full(features, np.inf, np.float32),
        )

    @property
    def live(self) -> Bool[np.ndarray, " F"]:
        """Features that are active on some image."""
        return self.codes[:, 0] > 0

    def add(self, codes_nf: Float[np.ndarray, "n F"], first: int) -> None:
        """Take in the pooled codes (float32, not negative) of the images from `first` on."""
        insert_largest(codes_nf, first, self.codes, self.images, self.least)
