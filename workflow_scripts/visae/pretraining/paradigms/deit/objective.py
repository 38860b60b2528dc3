"""DeiT: supervised classification with distillation from a convolutional network.

Source: Touvron et al. 2021, Eq. 3 (hard-label distillation): half of the loss is the
cross-entropy with the true label, half with the label that the teacher chooses for the same
view. As in the checkpoint that the paper reads, there is no distillation token.
"""

import torch
import torch.nn.functional as F
from torch import nn

from visae.pretraining.towers import embedding_width, image_embeddings
from visae.pretraining.training import Learner, Objective, fit
from visae.pretraining.views import network_input, random_views

TEACHER_WIDTHS = (32, 64, 128)


class ConvolutionalTeacher(Learner):
    """A small convolutional classifier, halving the resolution in each of its stages."""

    def __init__(self, classes):
        super().__init__()
        stages, channels = [], 3
        for width in TEACHER_WIDTHS:
            convolution = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
            stages += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(
            *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
        )

    def forward(self, views_b3ss):
        """Logits [B, C] of views in 0 … 255."""
        return self.layers(views_b3ss / 127.5 - 1)

    def loss(self, images_b3hw, labels_b, generator):
        logits = self(random_views(images_b3hw, images_b3hw.shape[-2:], generator))
        return F.cross_entropy(logits, labels_b), {"accuracy": accuracy(logits, labels_b)}


class Deit(Objective):
    """A backbone with a linear classifier on its image embedding, and its teacher."""

    def __init__(self, backbone, classes, settings):
        super().__init__(backbone, settings)
        self.classifier = nn.Linear(embedding_width(backbone), len(classes))
        self.teacher = ConvolutionalTeacher(len(classes))

    def prepare(self, split, seed):
        """Train the teacher, for as many steps as the student will have."""
        log = fit(self.teacher, split, self.settings, seed, phase="teacher")
        self.teacher.eval().requires_grad_(False)
        return log

    def loss(self, images_b3hw, labels_b, generator):
        views = random_views(images_b3hw, images_b3hw.shape[-2:], generator)
        taught_b = self.teacher(views).argmax(dim=1)
        logits = self.classifier(
            image_embeddings(self.backbone, network_input(self.backbone, views))
        )
        readings = {
            "accuracy": accuracy(logits, labels_b),
            "teacher_accuracy": (taught_b == labels_b).float().mean(),
        }
        return hard_distillation(logits, labels_b, taught_b), readings


def hard_distillation(logits_bc, labels_b, taught_b):
    """Mean of the cross-entropies with the true and with the teacher's labels."""
    return (F.cross_entropy(logits_bc, labels_b) + F.cross_entropy(logits_bc, taught_b)) / 2


def accuracy(logits_bc, labels_b):
    """Share of rows whose largest logit is the label's, a scalar tensor."""
    return (logits_bc.detach().argmax(dim=1) == labels_b).to(torch.float32).mean()


OBJECTIVE = Deit
