"""BatchTopK (Bussmann et al. 2024): the B·K largest codes of a batch are kept (paper §3)."""

from visae.sae.trainer import Trainer

# Candidates for the selection are the codes above this part of the last step's threshold.
BRACKET = 0.9


class BatchTopK(Trainer):
    """Keeps the B·K largest post-ReLU codes of the batch, and all that tie with the smallest.

    A batch with fewer positive codes than that keeps them all.
    """

    def __init__(self, spec, width, settings, device):
        super().__init__(spec, width, settings, device)
        self._last_threshold = None

    def keep(self, pre_bf):
        threshold = self._select(pre_bf)
        keep_bf = (pre_bf <= 0).logical_not_()
        if threshold is not None:
            keep_bf &= ~(pre_bf < threshold)
        self._last_threshold = threshold
        return keep_bf

    def _select(self, pre_bf):
        """The (B·K)-th largest positive code, float32 [], or None when there are fewer.

        The last threshold brackets the new one: few codes are then compared, with the same
        result. The length of the candidates is the step's one wait for the device.
        """
        budget = self.spec.sparsity * len(pre_bf)
        if self._last_threshold is not None:
            candidates = pre_bf[~(pre_bf < self._last_threshold * BRACKET)]
            if len(candidates) >= budget:
                return candidates.topk(budget, sorted=False).values.min()
        candidates = pre_bf[~(pre_bf <= 0)]
        if len(candidates) >= budget:
            return candidates.topk(budget, sorted=False).values.min()
        return None
