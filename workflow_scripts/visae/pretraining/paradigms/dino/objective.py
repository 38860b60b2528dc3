"""DINO: a student learns what a slow average of itself says about other crops of an image.

Sources: Caron et al. 2021 (Algorithm 1), and the KoLeo term of DINOv2 (Oquab et al. 2024, section
4). The teacher sees two large crops, the student these and small ones; a running centre and a low
temperature of the teacher keep it from collapsing, and KoLeo keeps images apart. Fitted to short
runs are the memories of teacher and centre; and a small crop fills a window of patches in the
image, instead of having the position embeddings interpolated.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from visae.backbones import build_backbone
from visae.pretraining.towers import embedding_width, image_embeddings, only_patches
from visae.pretraining.training import Objective
from visae.pretraining.views import SMALL, network_input, random_views

PROTOTYPES = 256
HIDDEN = 128
BOTTLENECK = 64
LARGE_CROPS = 2
SMALL_CROPS = 2
STUDENT_TEMPERATURE = 0.1
TEACHER_TEMPERATURE = 0.07  # where the paper's rises to; its 0.04 is unstable in short runs
CENTRE_MOMENTUM = 0.5
"""Share of the old centre that stays: a slower centre lags behind a fast student and oscillates."""
KOLEO_WEIGHT = 0.1
TEACHER_MEMORY = 0.3
"""Steps over which the teacher averages at the start, as a share of the run's."""


class Head(nn.Module):
    """A perceptron to a unit vector, and its cosines with the prototypes: [B, E] → [B, K]."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, BOTTLENECK)
        )
        self.prototypes = nn.Parameter(torch.randn(PROTOTYPES, BOTTLENECK))

    def forward(self, embeddings_be):
        unit = F.normalize(self.layers(embeddings_be), dim=1)
        return unit @ F.normalize(self.prototypes, dim=1).T


class Dino(Objective):
    """A student (the given backbone) and its teacher, each with a head."""

    centre: torch.Tensor

    def __init__(self, backbone, classes, settings):
        super().__init__(backbone, settings)
        self.head = Head(embedding_width(backbone))
        self.teacher = build_backbone(backbone.spec)
        self.teacher.model.load_state_dict(backbone.model.state_dict())
        self.teacher_head = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("centre", torch.full((PROTOTYPES,), torch.nan))

    def loss(self, images_b3hw, labels_b, generator):
        size = images_b3hw.shape[-2:]
        large = [
            network_input(self.backbone, random_views(images_b3hw, size, generator))
            for _ in range(LARGE_CROPS)
        ]
        with torch.no_grad():
            embeddings = image_embeddings(self.teacher, torch.cat(large))
            taught = self.teacher_head(embeddings).chunk(LARGE_CROPS)
        mean = torch.cat(taught).mean(dim=0)
        # From the first batch on, because all images look alike to random weights: with the
        # centre at zero they would all be sent to one prototype.
        self.centre.copy_(torch.where(self.centre.isnan(), mean, self.centre))
        targets = [sharpened(logits, self.centre) for logits in taught]
        self.centre.lerp_(mean, 1 - CENTRE_MOMENTUM)
        embeddings = image_embeddings(self.backbone, torch.cat(large))
        student = [
            *self.head(embeddings).chunk(LARGE_CROPS),
            *(self._small_crop(images_b3hw, generator) for _ in range(SMALL_CROPS)),
        ]
        readings = {
            "target_entropy": entropy(torch.cat(targets)).mean(),
            # ln K while the teacher uses all prototypes alike, 0 once it has collapsed to one.
            "usage_entropy": entropy(torch.cat(targets).mean(dim=0)),
        }
        apart = sum(koleo(crops) for crops in embeddings.chunk(LARGE_CROPS))
        return self_distillation(student, targets) + KOLEO_WEIGHT * apart, readings

    def _small_crop(self, images_b3hw, generator):
        """The student's logits for a small crop of each image, in a window of half the sides."""
        (rows, columns), patch = self.backbone.grid, self.backbone.patch
        height, width = rows // 2, columns // 2
        top, left = (
            int(torch.randint(free + 1, (1,), generator=generator))
            for free in (rows - height, columns - width)
        )
        crops = random_views(images_b3hw, (height * patch, width * patch), generator, area=SMALL)
        images = F.pad(
            network_input(self.backbone, crops),
            [patch * n for n in (left, columns - width - left, top, rows - height - top)],
        )
        numbers = torch.arange(rows * columns, device=images.device).reshape(rows, columns)
        window_k = numbers[top : top + height, left : left + width].reshape(-1)
        with only_patches(self.backbone, window_k.expand(len(images), -1)):
            return self.head(image_embeddings(self.backbone, images))

    @torch.no_grad()
    def after_step(self, progress):
        """Move the teacher towards the student, ever less as a cosine."""
        forget = 1 / max(1, TEACHER_MEMORY * self.settings.steps)
        weight = forget * (1 + math.cos(math.pi * progress)) / 2
        for teacher, student in (
            (self.teacher.model, self.backbone.model),
            (self.teacher_head, self.head),
        ):
            for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                slow.lerp_(fast, weight)

    def result(self):
        """The pretrained backbone: the teacher, which is what DINO publishes and evaluates."""
        return self.teacher


def sharpened(logits_bk, centre_k):
    """The teacher's distribution over the prototypes: centred, at a low temperature."""
    return ((logits_bk - centre_k) / TEACHER_TEMPERATURE).softmax(dim=1)


def self_distillation(student, targets):
    """Mean cross-entropy of the student's crops with the teacher's distributions of *other* crops.

    student: logits [B, K] per crop, the large ones first, in the order of targets: [B, K] per
    large crop.
    """
    losses = [
        -(target * (logits / STUDENT_TEMPERATURE).log_softmax(dim=1)).sum(dim=1).mean()
        for i, target in enumerate(targets)
        for j, logits in enumerate(student)
        if i != j
    ]
    return torch.stack(losses).mean()


def koleo(embeddings_be):
    """Minus the mean logarithm of each image's distance to its nearest other, on the unit sphere.

    It estimates the entropy of the embeddings [B, E], up to constants (Kozachenko & Leonenko).
    """
    unit = F.normalize(embeddings_be, dim=1)
    nearest = (unit @ unit.T).detach().fill_diagonal_(-2).argmax(dim=1)
    return -F.pairwise_distance(unit, unit[nearest]).log().mean()


def entropy(p):
    """Entropy in nats of distributions along the last axis."""
    return torch.special.entr(p).sum(dim=-1)


OBJECTIVE = Dino
