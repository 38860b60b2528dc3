"""Moran's I (see `visae.encoding.moran`) of whole blocks of maps at once: for CUDA."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from visae.base.arrays import Float, Int


def dense_moran(
    maps_npf: Float[torch.Tensor, "n P F"], grid: tuple[int, int], variance_floor: float
) -> Float[torch.Tensor, "2 n F"]:
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


def sum_evaluable(
    moran_2nf: Float[torch.Tensor, "2 n F"],
    active_nf: Int[torch.Tensor, "n F"],
    minimum_active: Sequence[int],
) -> tuple[Float[torch.Tensor, "2 M F"], Int[torch.Tensor, "M F"]]:
    """Sum over the evaluable images of a block: (float64 [2, M, F], int64 [M, F] images).

    moran_2nf: from `dense_moran`. active_nf: number of active patches. minimum_active: the M
    minimum numbers of active patches.
    """
    minima = torch.as_tensor(minimum_active, dtype=torch.int64, device=moran_2nf.device)
    evaluable = (active_nf >= minima[:, None, None]) & ~moran_2nf[0].isnan()
    sums = torch.where(evaluable, moran_2nf[:, None], 0.0).sum(dim=2)
    return sums, evaluable.sum(dim=1)
