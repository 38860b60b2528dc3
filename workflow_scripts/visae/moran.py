"""Moran's I of activation maps: do a feature's active patches lie together (M1)?

Paper: section 4.1, Eq. 2. For a map z of P patches with binary weights w between neighbours,

    I = P / Σ w_ij · Σ w_ij (z_i − z̄)(z_j − z̄) / Σ (z_i − z̄)²,

over all P patches, zeros included, with queen (8) and rook (4) neighbours. A map is evaluable
when at least m patches are active and its variance exceeds a floor.

Two implementations give the same numbers: `sparse_kernels.map_moran` visits only the active
patches of one sparse map (CPU), `dense_moran` whole blocks of maps (raw channels, CUDA).
"""

from typing import NamedTuple

import numpy as np
import torch


def null(patches):
    """The expectation −1/(P − 1) of Moran's I when values are placed at random."""
    return -1 / (patches - 1)


class Neighbours(NamedTuple):
    """The patch grid as `sparse_kernels.map_moran` needs it.

    Patch p lies at `position[p]` of a padded map with one column and one row of zeros more
    than the grid, so that the neighbours of every patch are at fixed distances.
    """

    patches: int
    """P = H·W."""
    position: np.ndarray
    """int64 [P]."""
    stride: int
    """Distance in the padded map from a patch to the one below it."""
    queen_degree: np.ndarray
    """float64 [P], number of neighbours."""
    rook_degree: np.ndarray
    """float64 [P]."""
    queen_weights: float
    """Σ w_ij."""
    rook_weights: float
    """Σ w_ij."""

    @classmethod
    def of_grid(cls, grid):
        """Tables of an (H, W) grid in raster order."""
        height, width = grid
        row, column = np.divmod(np.arange(height * width), width)
        vertical = (row > 0).astype(float) + (row < height - 1)
        horizontal = (column > 0).astype(float) + (column < width - 1)
        rook = vertical + horizontal
        queen = (1 + vertical) * (1 + horizontal) - 1
        position = row * (width + 1) + column + 1
        return cls(height * width, position, width + 1, queen, rook, queen.sum(), rook.sum())

    def padded_map(self):
        """A zero map for `sparse_kernels.map_moran` to work in, float64."""
        return np.zeros(self.patches + self.patches // (self.stride - 1) + self.stride + 1)


def dense_moran(maps_npf, grid, variance_floor):
    """Moran's I of n·F maps at once: float64 [2, n, F] (queen, rook).

    maps_npf: torch tensor [n, P, F] on any device. NaN where the variance does not exceed
    `variance_floor`.
    """
    height, width = grid
    centred = maps_npf.double()
    centred = centred - centred.mean(dim=1, keepdim=True)
    squares = (centred**2).sum(dim=1)
    z = centred.unflatten(1, (height, width))
    straight = (z[:, 1:] * z[:, :-1]).sum(dim=(1, 2))
    straight += (z[:, :, 1:] * z[:, :, :-1]).sum(dim=(1, 2))
    diagonal = (z[:, 1:, 1:] * z[:, :-1, :-1]).sum(dim=(1, 2))
    diagonal += (z[:, 1:, :-1] * z[:, :-1, 1:]).sum(dim=(1, 2))
    rook_pairs = (height - 1) * width + height * (width - 1)
    queen_pairs = rook_pairs + 2 * (height - 1) * (width - 1)
    patches = height * width
    moran = torch.stack(
        [
            patches / queen_pairs * (straight + diagonal) / squares,
            patches / rook_pairs * straight / squares,
        ]
    )
    return moran.masked_fill(~(squares > variance_floor * patches), torch.nan)


def sum_evaluable(moran_2nf, active_nf, minimum_active):
    """Sum over the evaluable images of a block: (float64 [2, M, F], int64 [M, F] images).

    moran_2nf: from `dense_moran`. active_nf: number of active patches. minimum_active: the M
    minimum numbers of active patches.
    """
    minima = torch.as_tensor(minimum_active, dtype=torch.int64, device=moran_2nf.device)
    evaluable = (active_nf >= minima[:, None, None]) & ~moran_2nf[0].isnan()
    sums = torch.where(evaluable, moran_2nf[:, None], 0.0).sum(dim=2)
    return sums, evaluable.sum(dim=1)
