"""The training loop that all paradigms share: data order, optimiser, schedule, log."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from visae.base.errors import UserError
from visae.base.progress import counted

WARM_UP = 0.1  # share of the steps
WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.95)
GRADIENT_CLIP = 1.0
LOG_INTERVAL = 10  # steps


@dataclass(frozen=True)
class PretrainingSettings:
    """How a backbone is pretrained.

    objective: an entry of `visae.pretraining.paradigms`. steps, batch_size: of images, the same for
    each paradigm in a fair comparison. learning_rate: the largest of the schedule.
    """

    objective: str
    steps: int
    batch_size: int
    learning_rate: float = 1e-3


class Learner(nn.Module):
    """Something that `fit` can train."""

    def loss(self, images_b3hw, labels_b, generator):
        """(scalar loss, readings for the log) of a batch.

        images_b3hw: uint8 [B, 3, H, W]. labels_b: int64 [B]. generator: of the CPU, for whatever
        is random. Readings are numbers or scalar tensors by name.
        """
        raise NotImplementedError

    def after_step(self, progress):
        """What is to be done after the optimiser's step; progress: share of the steps done."""


class Objective(Learner):
    """A backbone together with what its paradigm adds for training.

    Subclasses take (backbone, classes, settings); classes: the data set's `ClassRecord`s.
    """

    def __init__(self, backbone, settings):
        super().__init__()
        self.backbone, self.settings = backbone, settings

    def prepare(self, split, seed):
        """Train what the paradigm needs first; answers with the log of that."""
        return []

    def result(self):
        """The pretrained backbone."""
        return self.backbone


def fit(learner, split, settings, seed, phase):
    """Train `learner` on `split` (a `DecodedSplit` on its device); answers with the log.

    AdamW with the learning rate rising linearly over the first tenth of the steps and falling as
    a cosine to zero. The log has one record per `LOG_INTERVAL` steps, with means over them:
    phase, step, images, learning_rate, loss and the learner's readings.

    Raises:
        UserError: a loss that is not finite.
    """
    order, noise = (torch.Generator().manual_seed(seed + offset) for offset in (0, 1))
    batches = data_order(len(split.labels_n), settings.batch_size, settings.steps, order)
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": WEIGHT_DECAY},
            # Biases, norms and temperatures: pulling them to zero means nothing.
            {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=BETAS,
    )
    log, window = [], []
    steps = counted(batches, f"steps of {phase}", len(batches))
    for step, batch in enumerate(steps, start=1):
        rate = settings.learning_rate * schedule(step, settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(split.labels_n.device)
        loss, readings = learner.loss(split.pixels_n3hw[batch], split.labels_n[batch], noise)
        if not torch.isfinite(loss):
            raise UserError(
                f"The loss of {phase} became {loss.item()} at step {step}: lower `learning_rate` "
                f"(now {settings.learning_rate}) in the backbone's `pretraining`."
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, GRADIENT_CLIP)
        optimizer.step()
        learner.after_step(step / settings.steps)
        window.append({"loss": loss.detach(), **readings})
        if len(window) == LOG_INTERVAL or step == settings.steps:
            means = {n: sum(float(row[n]) for row in window) / len(window) for n in window[0]}
            images = step * settings.batch_size
            record = {"phase": phase, "step": step, "images": images, "learning_rate": rate}
            log.append(record | means)
            window = []
    return log


def data_order(images, batch_size, steps, generator):
    """Image numbers of each step, tuple of int64 [B]: epochs in random order, one after another."""
    epochs = math.ceil(steps * batch_size / images)
    order = torch.cat([torch.randperm(images, generator=generator) for _ in range(epochs)])
    return order[: steps * batch_size].split(batch_size)


def schedule(step, steps):
    """Learning rate at a step (from 1) relative to the largest: linear rise, cosine fall."""
    rising = max(1, round(WARM_UP * steps))
    if step <= rising:
        return step / rising
    return (1 + math.cos(math.pi * (step - rising) / (steps - rising + 1))) / 2
