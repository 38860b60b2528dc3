"""Edits of a block's output: along which direction, on which patches, how far.

A feature that is suppressed has its code set to 0. With the strength s the output becomes
x + s · (decode(edited codes) − decode(codes)): with 1 the feature is gone, with more it is turned
round, with less than 0 it is made stronger. Decoding is linear, so that of one feature this is
x − s · code · d, and the controls differ in the direction alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from visae.base.arrays import Bool, Float
from visae.sae.model import SparseAutoencoder


@dataclass(frozen=True)
class Edit:
    """One direction, and how far each patch of some images lies along it."""

    direction_d: Float[torch.Tensor, " D"]
    """Of unit length."""
    amounts_np: Float[torch.Tensor, "n P"]
    """What is taken away with the strength 1, in units of activations."""

    def applied(
        self, tokens_btd: Float[torch.Tensor, "B T D"], rows: slice, strength: float
    ) -> Float[torch.Tensor, "B T D"]:
        """Tokens of the images `rows`, edited; those before the patches stay as they are."""
        amounts_bp1 = self.amounts_np[rows, :, None]
        edited_btd = tokens_btd.clone()
        edited_btd[:, -amounts_bp1.shape[1] :] -= strength * amounts_bp1 * self.direction_d
        return edited_btd

    def is_nothing(self, rows: slice) -> bool:
        """Whether no patch of the images `rows` is edited."""
        return not self.amounts_np[rows].any()

    @property
    def size(self) -> float:
        """Length of the edit, summed over patches."""
        return float(self.amounts_np.abs().sum())

    def turned(self, direction_d: Float[torch.Tensor, " D"]) -> Edit:
        """An edit of the same size, patch by patch, along another direction."""
        return Edit(unit(direction_d), self.amounts_np)


def suppression(
    sae: SparseAutoencoder,
    feature: int,
    activations_npd: Float[torch.Tensor, "n P D"],
    codes_np: Float[torch.Tensor, "n P"],
    chosen_p: Bool[torch.Tensor, " P"],
) -> Edit:
    """The edit that sets a feature's codes to 0 on the chosen patches, the normalisation undone."""
    row_d, scale = sae.decoder_weight[feature], sae.activation_std
    if sae.input_normalisation != "none":
        scale = scale * sae.token_statistics(activations_npd)[1][..., 0]
    return Edit(unit(row_d), codes_np * chosen_p * row_d.norm() * scale)


def mean_suppression(
    mean_d: Float[torch.Tensor, " D"],
    others_d: Float[torch.Tensor, " D"],
    activations_npd: Float[torch.Tensor, "n P D"],
    chosen_p: Bool[torch.Tensor, " P"],
    size: float,
) -> Edit:
    """The edit that takes away how far patches lie from the others' mean towards the class's.

    It needs no SAE. Its amounts are scaled so that its size is `size`.
    """
    direction_d = unit((mean_d - others_d).float())
    amounts_np = ((activations_npd - others_d.float()) @ direction_d).relu() * chosen_p
    total = float(amounts_np.sum())
    return Edit(direction_d, amounts_np * (size / total if total else 0))


def unit(vector_d: Float[torch.Tensor, " D"]) -> Float[torch.Tensor, " D"]:
    """`vector_d` at length 1; zeros stay."""
    return torch.nn.functional.normalize(vector_d, dim=0)
