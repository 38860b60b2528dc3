"""The paradigms by name, and a backbone pretrained by one of them."""

from typing import NamedTuple

from visae.backbones.backbone import Backbone
from visae.backbones.weights import random_weights
from visae.base.errors import UserError
from visae.pretraining.contrast import Clip, Siglip
from visae.pretraining.masked import Mae
from visae.pretraining.self_distillation import Dino
from visae.pretraining.supervised import Deit
from visae.pretraining.towers import make_trainable
from visae.pretraining.training import fit

OBJECTIVES = {"dino": Dino, "mae": Mae, "clip": Clip, "siglip": Siglip, "deit": Deit}


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
    if settings.objective not in OBJECTIVES:
        raise UserError(
            f"Backbone '{backbone.spec.name}' asks for pretraining by '{settings.objective}', "
            f"which does not exist: choose one of {', '.join(OBJECTIVES)}."
        )
    seed = backbone.spec.seed
    with random_weights(seed):
        learner = OBJECTIVES[settings.objective](backbone, split.classes, settings)
    device = next(backbone.parameters()).device
    learner.to(device)
    split = split.to(device)
    log = learner.prepare(split, seed)
    make_trainable(backbone)
    log += fit(learner, split, settings, seed, phase="pretraining")
    trained = learner.result()
    trained.model.eval().requires_grad_(False)
    return Pretrained(trained, log)
