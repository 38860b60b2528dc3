"""What CLIP and SigLIP share: images and captions meet in one space.

In both papers a caption fits its own image only. Here a batch holds several images of a class,
which have one caption, so every pair of equal captions counts as fitting; without such pairs the
losses are the published ones.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from visae.pretraining.captions import TextEncoder, caption, tokenize
from visae.pretraining.towers import embedding_width, image_embeddings
from visae.pretraining.training import Objective
from visae.pretraining.views import network_input, random_views

LARGEST_SCALE = 100.0


class Contrast(Objective):
    """A backbone, a text encoder and the scale (1 / temperature) of their cosines."""

    tokens_cl: torch.Tensor

    def __init__(self, backbone, classes, settings, scale):
        super().__init__(backbone, settings)
        tokens_cl, vocabulary = tokenize([caption(record) for record in classes])
        self.register_buffer("tokens_cl", tokens_cl)
        self.text = TextEncoder(vocabulary, tokens_cl.shape[1], embedding_width(backbone))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def cosines(self, images_b3hw, labels_b, generator):
        """Cosine [B, B] of each image (row) with each image's caption (column)."""
        views = random_views(images_b3hw, images_b3hw.shape[-2:], generator)
        images = image_embeddings(self.backbone, network_input(self.backbone, views))
        texts = self.text(self.tokens_cl[labels_b])
        return F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T

    def scale(self):
        """What cosines are multiplied with, at most `LARGEST_SCALE`."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)


def same(labels_b):
    """Which pairs of a batch have the same caption: bool [B, B]."""
    return labels_b[:, None] == labels_b
