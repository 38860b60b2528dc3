"""BatchTopK (Bussmann et al. 2024): the B·K largest codes of a batch are kept (paper §3)."""

from __future__ import annotations

import numpy as np
import torch

from visae.base.arrays import Bool, Float
from visae.sae.sparse import SparseCodes, collect_codes
from visae.sae.trainer import Trainer

MARGIN, WIDE = 0.02, 0.7
"""A bracket lies so far below where the threshold would be if it fell as before; then at this part
of the last one."""


class BatchTopK(Trainer):
    """Keeps the B·K largest post-ReLU codes of the batch, and all that tie with the smallest.

    A batch with fewer positive codes than that keeps them all. The last step's threshold
    brackets the new one, so that few codes are compared; the result is the same without it.
    """

    def __init__(self, spec, width, settings, device):
        super().__init__(spec, width, settings, device)
        self._last_threshold, self._fall = None, 0.1

    def _budget(self, batch):
        """How many codes a batch keeps: with ragged shards, a smaller one as many as a whole."""
        ragged = self.settings.ragged_images is not None
        return int(self.spec.target) * (self.settings.batch_size if ragged else len(batch))

    def _brackets(self):
        """Lower bounds of the codes to compare, the last of which loses none."""
        if self._last_threshold is not None:
            yield self._last_threshold * max(1 - MARGIN - 2 * self._fall, WIDE)
            yield self._last_threshold * WIDE
        yield 0.0

    def _remember(self, threshold):
        """Note a step's threshold, and by which part they fell of late; returns it."""
        if self._last_threshold is not None:
            fall = 1 - float(threshold) / float(self._last_threshold)
            self._fall = max(fall, self._fall / 2)
        self._last_threshold = threshold
        return threshold

    def keep(self, pre_bf: Float[torch.Tensor, "B F"]) -> Bool[torch.Tensor, "B F"]:
        budget = self._budget(pre_bf)
        for lower in self._brackets():
            candidates_bf = ~((pre_bf < lower) | (pre_bf <= 0))
            # The length of the candidates is the step's one wait for the device.
            candidates = pre_bf[candidates_bf]
            if len(candidates) >= budget:
                threshold = self._remember(candidates.topk(budget, sorted=False).values.min())
                return candidates_bf.logical_and_(~(pre_bf < threshold))
        self._last_threshold = None
        return candidates_bf

    def active_codes(self, normalised_bd: Float[torch.Tensor, "B D"]) -> SparseCodes:
        budget = self._budget(normalised_bd)
        for lower in self._brackets():
            candidates = collect_codes(normalised_bd, *self.encoder(), lower)
            surplus = len(candidates.values) - budget
            if surplus >= 0:
                threshold = np.partition(candidates.values, surplus)[surplus]
                return candidates.at_least(self._remember(threshold))
        self._last_threshold = None
        return candidates


TRAINER = BatchTopK
