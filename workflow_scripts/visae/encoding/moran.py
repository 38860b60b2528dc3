"""Moran's I of activation maps: do a feature's active patches lie together (M1)?

Paper: section 4.1, Eq. 2. For a map z of P patches with binary weights w between neighbours,

    I = P / Σ w_ij · Σ w_ij (z_i − z̄)(z_j − z̄) / Σ (z_i − z̄)²,

over all P patches, zeros included, with queen (8) and rook (4) neighbours. A map is evaluable
when at least m patches are active and its variance exceeds a floor.

Two implementations give the same numbers: `kernels.map_moran` visits only the active
patches of one map (CPU), `dense_moran` whole blocks of maps (CUDA).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from visae.base.arrays import Float, Int


def null(patches: int) -> float:
    """The expectation −1/(P − 1) of Moran's I when values are placed at random."""
    return -1 / (patches - 1)


class Neighbours(NamedTuple):
    """The patch grid as `kernels.map_moran` needs it.

    Patch p lies at `position[p]` of a padded map with one column and one row of zeros more than the
    grid, so that the neighbours right of and below every patch are at fixed distances.
    """

    patches: int
    """P = H·W."""
    position: Int[np.ndarray, " P"]
    """int64."""
    stride: int
    """Distance in the padded map from a patch to the one below it."""
    queen_degree: Float[np.ndarray, " P"]
    """float64, number of neighbours."""
    rook_degree: Float[np.ndarray, " P"]
    """float64."""
    queen_weights: float
    """Σ w_ij."""
    rook_weights: float
    """Σ w_ij."""

    @classmethod
    def of_grid(cls, grid: tuple[int, int]) -> Neighbours:
        """Tables of an (H, W) grid in raster order."""
        height, width = grid
        row, column = np.divmod(np.arange(height * width), width)
        vertical = (row > 0).astype(float) + (row < height - 1)
        horizontal = (column > 0).astype(float) + (column < width - 1)
        rook = vertical + horizontal
        queen = (1 + vertical) * (1 + horizontal) - 1
        position = row * (width + 1) + column
        return cls(height * width, position, width + 1, queen, rook, queen.sum(), rook.sum())

    def padded_map(self) -> Float[np.ndarray, " padded"]:
        """A zero map for `kernels.map_moran` to work in, float64; it ends below its last patch."""
        return np.zeros(self.position[-1] + self.stride + 2)
