"""Training against other libraries' own, step by step: `peer_losses.py` computed their losses."""

import json
import math
from dataclasses import replace

import numpy as np
import peer_losses as peers
import pytest
import torch

from visae.sae.choices import Auxiliary, Schedule
from visae.sae.families import FAMILIES
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.trainer import DECODER_WEIGHT, ENCODER_BIAS, ENCODER_WEIGHT

LOSSES = json.loads(peers.PEERS.read_text())["dictionary-learning 0.1.0"]
AUXILIARY = Auxiliary(peers.DEAD_AFTER, peers.ALPHA, peers.K_AUX)
OWN = {
    "batchtopk": {"auxiliary": AUXILIARY},
    "topk": {"auxiliary": AUXILIARY},
    "matryoshka": {"auxiliary": AUXILIARY, "prefixes": peers.STOPS},
    "gated": {"gradient_clip": None, "adam_beta1": 0.0},
}


def trainer(family, method, **more):
    """A trainer with the library's settings and the weights that it began with."""
    settings = TrainingSettings(
        **{
            "learning_rate": peers.RATE,
            "loss": "sum",
            "schedule": Schedule(decay=peers.DECAY),
            "decoder_bias": "tied",
            "decoder_gradient": "tangent",
            **OWN[family],
            **more,
        }
    )
    kind = FAMILIES.module(family, "trainer").TRAINER
    sae = kind(SaeSpec(family, peers.FACTOR, peers.K), peers.WIDTH, settings, "cpu")
    names = (ENCODER_WEIGHT, ENCODER_BIAS, DECODER_WEIGHT)
    for name, tensor in zip(names, peers.start(), strict=True):
        sae.weights[name].data.copy_(tensor)
    if family == "gated":
        # The library's penalty is constant.
        sae.recipe = replace(sae.recipe, integral=0.0, proportional=0.0)
        sae.gate_bias.data.copy_(sae.weights[ENCODER_BIAS] - 0.2)
        sae._start = sae.log_coefficient = torch.tensor(math.log(peers.L1))
    else:
        sae.set_gradients = getattr(sae, method)
    return sae


@pytest.mark.parametrize("method", ["set_sparse_gradients", "set_dense_gradients"])
@pytest.mark.parametrize("family", LOSSES)
def test_losses_equal_the_librarys_own(family, method):
    sae, found = trainer(family, method), []
    for step, x_bd in enumerate(peers.batches()):
        sae.begin_step(step, peers.STEPS)
        found.append(float(sae.step(x_bd).loss) * peers.WIDTH)
    expected = [squares for squares, _ in LOSSES[family]]
    assert found[-1] < found[0] / 2
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    auxiliary = [loss for _, loss in LOSSES[family]]
    assert (family == "gated") == (not any(auxiliary))
