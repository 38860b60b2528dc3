"""TopK (Gao et al. 2024): the K largest codes of each token are kept, as far as positive."""

from __future__ import annotations

import numpy as np
import torch

from visae.base.arrays import Bool, Float
from visae.sae.screen import Features, Tokens
from visae.sae.screen_bytes import BYTES
from visae.sae.screened import is_screened
from visae.sae.sparse import SparseCodes, screened_codes
from visae.sae.trainer import Trainer

MARGIN, RARE, AGAIN = 0.97, 0.01, 0.6
"""The smallest kept code is looked for from this part on, of what it was of the norm of all tokens
of the last step but one in a hundred; then from this part of that."""


class TopK(Trainer):
    """Keeps each token's K largest positive codes; of large encoders, of equal ones the first."""

    def __init__(self, spec, width, settings, device):
        super().__init__(spec, width, settings, device)
        self._part = 0.0  # of a token's norm, from which on its codes are compared first

    def keep(self, pre_bf: Float[torch.Tensor, "B F"]) -> Bool[torch.Tensor, "B F"]:
        largest_bf = torch.zeros_like(pre_bf, dtype=torch.bool)
        largest_bf.scatter_(1, pre_bf.topk(int(self.spec.target), sorted=False).indices, True)
        return largest_bf & ~(pre_bf <= 0)

    def active_codes(self, normalised_bd: Float[torch.Tensor, "B D"]) -> SparseCodes:
        weight, bias = self.encoder()
        if is_screened(*weight.shape):
            return self._screened(normalised_bd, Features.of_positive(BYTES, weight, bias))
        keep_bf = self.keep(pre_bf := self.pre_activations(normalised_bd))
        rows, features = keep_bf.nonzero(as_tuple=True)
        starts = np.searchsorted(rows.numpy(), np.arange(len(pre_bf) + 1))
        values = pre_bf[keep_bf].numpy()
        return SparseCodes(starts, features.int().numpy(), values)

    def _screened(self, x_bd, encoder):
        """The same, by codes from a part of the token's norm on: from less where those are few."""
        norms, k = torch.linalg.vector_norm(x_bd, dim=1).numpy(), int(self.spec.target)
        rows, pieces = np.arange(len(x_bd)), []
        for part in (self._part, self._part * AGAIN, 0.0):
            lower = torch.from_numpy(np.float32(part) * norms[rows])
            codes = screened_codes(Tokens(BYTES, x_bd[rows], lower), encoder)
            few = np.diff(codes.row_starts) < k if part else np.zeros(len(rows), bool)
            pieces.append((rows[~few], codes.of_rows(np.flatnonzero(~few)).largest(k)))
            rows = rows[few]
            if not len(rows):
                break
        codes = SparseCodes.merged(pieces)
        whole = (np.diff(codes.row_starts) == k) & (norms > 0)
        if whole.any():
            smallest = codes.of_rows(np.flatnonzero(whole)).values.reshape(-1, k).min(axis=1)
            self._part = MARGIN * float(np.quantile(smallest / norms[whole], RARE))
        return codes


TRAINER = TopK
