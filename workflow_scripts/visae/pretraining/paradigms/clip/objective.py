"""CLIP: a softmax over the batch, from either side (Radford et al. 2021, Fig. 3)."""

import torch.nn.functional as F

from visae.pretraining.contrast import Contrast, same


class Clip(Contrast):
    """Softmax over the batch, from either side."""

    def __init__(self, backbone, classes, settings):
        super().__init__(backbone, classes, settings, scale=1 / 0.07)

    def loss(self, images_b3hw, labels_b, generator):
        scale = self.scale()
        logits = scale * self.cosines(images_b3hw, labels_b, generator)
        return softmax_contrast(logits, same(labels_b)), {"scale": scale.detach()}


def softmax_contrast(logits_bb, fits_bb):
    """Mean of the cross-entropies of images → captions and captions → images.

    The target of a row is spread evenly over its fitting pairs (fits_bb: bool [B, B], symmetric).
    """
    targets = fits_bb / fits_bb.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits_bb, targets) + F.cross_entropy(logits_bb.T, targets)) / 2


OBJECTIVE = Clip
