"""CLIP and SigLIP: images and captions meet in one space, by a softmax or by single pairs.

Sources: Radford et al. 2021 (Fig. 3) and Zhai et al. 2023 (Algorithm 1). In both a caption fits
its own image only. Here a batch holds several images of a class, which have one caption, so every
pair of equal captions counts as fitting; without such pairs the losses are the published ones.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from visae.pretraining.captions import TextEncoder, caption, tokenize
from visae.pretraining.towers import embedding_width, image_embeddings
from visae.pretraining.training import Paradigm
from visae.pretraining.views import random_views

LARGEST_SCALE = 100.0


class _Contrast(Paradigm):
    """A backbone, a text encoder and the scale (1 / temperature) of their cosines."""

    tokens_cl: torch.Tensor

    def __init__(self, backbone, classes, settings, scale):
        super().__init__(backbone, settings)
        tokens_cl, vocabulary = tokenize([caption(record) for record in classes])
        self.register_buffer("tokens_cl", tokens_cl)
        self.text = TextEncoder(vocabulary, tokens_cl.shape[1], embedding_width(backbone))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def cosines(self, images_b3ss, labels_b, generator):
        """Cosine [B, B] of each image (row) with each image's caption (column)."""
        views = random_views(images_b3ss, images_b3ss.shape[-1], generator)
        images = image_embeddings(self.backbone, self.backbone.normalise(views))
        texts = self.text(self.tokens_cl[labels_b])
        return F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T

    def scale(self):
        """What cosines are multiplied with, at most `LARGEST_SCALE`."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)


class Clip(_Contrast):
    """Softmax over the batch, from either side."""

    def __init__(self, backbone, classes, settings):
        super().__init__(backbone, classes, settings, scale=1 / 0.07)

    def loss(self, images_b3ss, labels_b, generator):
        scale = self.scale()
        logits = scale * self.cosines(images_b3ss, labels_b, generator)
        return softmax_contrast(logits, same(labels_b)), {"scale": scale.detach()}


class Siglip(_Contrast):
    """A sigmoid per pair, with a learned bias."""

    def __init__(self, backbone, classes, settings):
        super().__init__(backbone, classes, settings, scale=10.0)
        # The log odds that a pair fits; −10 in SigLIP's own batches of 32k.
        self.bias = nn.Parameter(torch.tensor(-math.log(max(1, settings.batch_size - 1))))

    def loss(self, images_b3ss, labels_b, generator):
        scale = self.scale()
        logits = scale * self.cosines(images_b3ss, labels_b, generator) + self.bias
        readings = {"scale": scale.detach(), "bias": self.bias.detach()}
        return sigmoid_contrast(logits, same(labels_b)), readings


def same(labels_b):
    """Which pairs of a batch have the same caption: bool [B, B]."""
    return labels_b[:, None] == labels_b


def softmax_contrast(logits_bb, fits_bb):
    """Mean of the cross-entropies of images → captions and captions → images.

    The target of a row is spread evenly over its fitting pairs (fits_bb: bool [B, B], symmetric).
    """
    targets = fits_bb / fits_bb.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits_bb, targets) + F.cross_entropy(logits_bb.T, targets)) / 2


def sigmoid_contrast(logits_bb, fits_bb):
    """−Σ over all pairs of log σ(±logit), + for fitting pairs, divided by the batch size."""
    signs = fits_bb.to(logits_bb.dtype) * 2 - 1
    return -F.logsigmoid(signs * logits_bb).sum() / len(logits_bb)
