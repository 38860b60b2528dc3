"""A backbone, pretrained by one of the paradigms."""

from typing import NamedTuple

from visae.backbones.backbone import Backbone
from visae.backbones.weights import random_weights
from visae.base.errors import UserError
from visae.pretraining.paradigms import PARADIGMS
from visae.pretraining.towers import make_trainable
from visae.pretraining.training import fit


class Pretrained(NamedTuple):
    """A pretrained backbone, in evaluation mode, and the log of its training."""

    backbone: Backbone
    log: list


def pretrain(backbone, split, settings):
    """Train `backbone` on `split` (a `DecodedSplit`); everything is seeded by the backbone's seed.

    With one thread on the CPU equal arguments give equal bytes. The given backbone is changed.

    Raises:
        UserError: an unknown objective, classes without words, or a loss that is not finite.
    """
    if settings.objective not in PARADIGMS:
        raise UserError(
            f"Backbone '{backbone.spec.name}' asks for pretraining by '{settings.objective}', "
            f"which does not exist: choose one of {', '.join(PARADIGMS)}."
        )
    objective = PARADIGMS.module(settings.objective, "objective").OBJECTIVE
    seed = backbone.spec.seed
    with random_weights(seed):
        learner = objective(backbone, split.classes, settings)
    device = next(backbone.parameters()).device
    learner.to(device)
    split = split.to(device)
    log = learner.prepare(split, seed)
    make_trainable(backbone)
    log += fit(learner, split, settings, seed, phase="pretraining")
    trained = learner.result()
    trained.model.eval().requires_grad_(False)
    return Pretrained(trained, log)
