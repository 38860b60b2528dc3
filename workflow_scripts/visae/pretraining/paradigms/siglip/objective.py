"""SigLIP: a sigmoid per pair (Zhai et al. 2023, Algorithm 1)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from visae.pretraining.contrast import Contrast, same


class Siglip(Contrast):
    """A sigmoid per pair, with a learned bias."""

    def __init__(self, backbone, classes, settings):
        super().__init__(backbone, classes, settings, scale=10.0)
        # The log odds that a pair fits; −10 in SigLIP's own batches of 32k.
        self.bias = nn.Parameter(torch.tensor(-math.log(max(1, settings.batch_size - 1))))

    def loss(self, images_b3hw, labels_b, generator):
        scale = self.scale()
        logits = scale * self.cosines(images_b3hw, labels_b, generator) + self.bias
        readings = {"scale": scale.detach(), "bias": self.bias.detach()}
        return sigmoid_contrast(logits, same(labels_b)), readings


def sigmoid_contrast(logits_bb, fits_bb):
    """−Σ over all pairs of log σ(±logit), + for fitting pairs, divided by the batch size."""
    signs = fits_bb.to(logits_bb.dtype) * 2 - 1
    return -F.logsigmoid(signs * logits_bb).sum() / len(logits_bb)


OBJECTIVE = Siglip
