"""TopK (Gao et al. 2024): the K largest codes of each token are kept, as far as positive."""

from __future__ import annotations

import numpy as np
import torch

from visae.base.arrays import Bool, Float
from visae.sae.products import product
from visae.sae.sparse import SparseCodes
from visae.sae.trainer import Trainer


class TopK(Trainer):
    """Keeps each token's K largest positive codes."""

    def keep(self, pre_bf: Float[torch.Tensor, "B F"]) -> Bool[torch.Tensor, "B F"]:
        largest_bf = torch.zeros_like(pre_bf, dtype=torch.bool)
        largest_bf.scatter_(1, pre_bf.topk(int(self.spec.target), sorted=False).indices, True)
        return largest_bf & ~(pre_bf <= 0)

    def active_codes(self, normalised_bd: Float[torch.Tensor, "B D"]) -> SparseCodes:
        weight, bias = self.encoder()
        keep_bf = self.keep(pre_bf := product(normalised_bd, weight.T, half=False).add_(bias))
        rows, features = keep_bf.nonzero(as_tuple=True)
        starts = np.searchsorted(rows.numpy(), np.arange(len(pre_bf) + 1))
        values = pre_bf[keep_bf].numpy()
        return SparseCodes(starts, features.int().numpy(), values)


TRAINER = TopK
