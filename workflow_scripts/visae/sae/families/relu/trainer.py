"""ReLU with an L1 penalty (Bricken et al. 2023): loss per token (‖x̂ − x‖² + λ ‖code‖₁) / D."""

import torch

from visae.sae.trainer import Trainer


class ReLU(Trainer):
    """Keeps every positive code; λ is the spec's sparsity. The logged loss is without the penalty.

    Half of the codes are active at first, so that the CPU uses dense products, too.
    """

    def set_gradients(self, normalised_bd):
        return self.set_dense_gradients(normalised_bd)

    def keep(self, pre_bf):
        return ~(pre_bf <= 0)

    def on_dense_code_gradients(self, pre_bf, grad_codes_bf):
        grad_codes_bf.add_(self.spec.sparsity / 2)

    def threshold(self):
        return torch.zeros((), device=self.device)


TRAINER = ReLU
