"""Losses of another library's training, for `sae/test_peers.py`; they lie in `peer_losses.json`.

    uv pip install --no-deps dictionary-learning==0.1.0 einops==0.8.2
    PYTHONPATH=workflow_scripts:tests python tests/peer_losses.py

Without their dependencies, since training needs torch and einops alone; the rest of what
dictionary-learning imports is replaced by empty modules.
"""

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch
from sae_fixtures import dictionary, sparse_mixtures

from visae.sae.trainer import initial_weights

WIDTH, FACTOR, K, BATCH, STEPS = 24, 8, 6, 128, 50
FEATURES = WIDTH * FACTOR
RATE, DECAY, DEAD_AFTER, K_AUX, ALPHA = 3e-3, 0.4, 384, 10, 1 / 32
STOPS = (24, 48, 96, FEATURES)
L1 = 0.3
PEERS = Path(__file__).with_name("peer_losses.json")


def batches():
    """STEPS batches [BATCH, WIDTH] with a mean that the decoder bias can learn."""
    atoms = dictionary(120, WIDTH)
    return [0.3 + sparse_mixtures(BATCH, atoms, 5, seed) for seed in range(STEPS)]


def start(seed=3):
    """Encoder weight, encoder bias and decoder with unit rows; a quarter of the features is shy."""
    encoder, bias, decoder = initial_weights(FEATURES, WIDTH, seed).values()
    bias[::4] -= 1.0
    return encoder, bias, torch.nn.functional.normalize(decoder, dim=1)


def common(**more):
    return {
        "steps": STEPS,
        "activation_dim": WIDTH,
        "dict_size": FEATURES,
        "layer": 0,
        "lm_name": "none",
        "lr": RATE,
        "warmup_steps": 0,
        "decay_start": STEPS - round(DECAY * STEPS),
        "device": "cpu",
        **more,
    }


def run(trainer, aux=True):
    """[squared error per token, auxiliary loss] of every step of a dictionary-learning trainer."""
    found, original = [], getattr(trainer, "get_auxiliary_loss", None)
    if aux:
        trainer.dead_feature_threshold, trainer.top_k_aux = DEAD_AFTER, K_AUX

        def noted(residual_bd, *others):
            loss = original(residual_bd, *others)
            squares = residual_bd.square().sum(dim=1).mean()
            found.append([float(squares.detach()), float(loss.detach())])
            return loss

        trainer.get_auxiliary_loss = noted
    for number, x_bd in enumerate(batches()):
        # Step 0 would set the decoder bias to the batch's median.
        if aux:
            trainer.update(number + 1, x_bd)
        else:
            found.append([trainer.loss(x_bd, number, logging=True).losses["mse_loss"], 0.0])
            trainer.update(number, x_bd)
    return found


def main():
    for name in ("nnsight", "wandb", "datasets", "zstandard"):
        if name not in sys.modules:
            sys.modules[name] = MagicMock()
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    encoder, bias, decoder = start()
    losses = {}
    for name, kind in (("batchtopk", BatchTopKTrainer), ("topk", TopKTrainer)):
        trainer = kind(**common(k=K, auxk_alpha=ALPHA))
        trainer.ae.encoder.weight.data = encoder.clone()
        trainer.ae.encoder.bias.data = bias.clone()
        trainer.ae.decoder.weight.data = decoder.T.clone()
        losses[name] = run(trainer)
    ends = zip((0, *STOPS), STOPS, strict=False)
    trainer = MatryoshkaBatchTopKTrainer(
        **common(k=K, auxk_alpha=ALPHA),
        group_fractions=[(stop - first) / FEATURES for first, stop in ends],
        # Its loss is the mean of the weighted losses; the default weights divide once more.
        group_weights=[1.0] * len(STOPS),
    )
    assert trainer.group_sizes == [b - a for a, b in zip((0, *STOPS), STOPS, strict=False)]
    trainer.ae.W_enc.data = encoder.T.clone()
    trainer.ae.b_enc.data = bias.clone()
    trainer.ae.W_dec.data = decoder.clone()
    losses["matryoshka"] = run(trainer)
    trainer = GatedSAETrainer(**common(l1_penalty=L1, sparsity_warmup_steps=None))
    trainer.ae.encoder.weight.data = encoder.clone()
    trainer.ae.decoder.weight.data = decoder.T.clone()
    trainer.ae.gate_bias.data = bias - 0.2
    trainer.ae.mag_bias.data = bias.clone()
    losses["gated"] = run(trainer, aux=False)
    PEERS.write_text(json.dumps({"dictionary-learning 0.1.0": losses}, indent=1) + "\n")


if __name__ == "__main__":
    main()
