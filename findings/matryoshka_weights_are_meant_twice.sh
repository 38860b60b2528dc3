#!/usr/bin/env bash
# Versions: dictionary-learning 0.1.0 without its dependencies, einops 0.8.2, torch 2.13.0, numpy 2.4.6;
# Python 3.11 or newer.
#
# Data: 64 random tokens of width 12, a Matryoshka BatchTopK trainer with four groups of 12 features.
#
# Guess: without group_weights, the reconstruction loss is the mean over the prefixes of their squared
#   errors, so that 1/32 of the auxiliary loss stands beside it as in the library's BatchTopK.
# Seen: each squared error is multiplied by its default weight, 1/4, and the mean of the four is taken
#   then: the loss is a quarter of that mean. So with n groups the auxiliary loss weighs n times as much, and
#   a gradient clip sees gradients n times as small. group_weights=[1, 1, 1, 1] gives the mean.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --no-deps dictionary-learning==0.1.0 einops==0.8.2
"${pip[@]}" torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from unittest.mock import MagicMock

import torch
import torch._dynamo  # before the stand-ins: it asks which modules there are

# Training needs torch and einops alone; what reads language models is replaced by empty modules.
for name in ("datasets", "nnsight", "transformers", "tqdm", "wandb", "pandas", "huggingface_hub"):
    sys.modules[name] = MagicMock()
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

torch.manual_seed(0)
tokens = torch.randn(64, 12)


def losses(**weights):
    """(the trainer's loss, the mean over prefixes of their squared errors per token)."""
    trainer = MatryoshkaBatchTopKTrainer(
        steps=10, activation_dim=12, dict_size=48, k=6, layer=0, lm_name="none", seed=0,
        group_fractions=[0.25] * 4, warmup_steps=0, device="cpu", **weights,
    )
    sae = trainer.ae
    with torch.no_grad():
        codes = sae.encode(tokens, use_threshold=False)
        errors = []
        for last in (12, 24, 36, 48):
            again = codes[:, :last] @ sae.W_dec[:last] + sae.b_dec
            errors.append((tokens - again).square().sum(dim=1).mean())
        loss = trainer.loss(tokens, step=0)
    return float(loss), float(torch.stack(errors).mean())


loss, mean = losses()
print(f"default weights: loss {loss:.4f}, mean of four squared errors {mean:.4f}, ratio {loss / mean:.4f}")
ones, mean_again = losses(group_weights=[1.0] * 4)
print(f"weights of 1: loss {ones:.4f}, ratio {ones / mean_again:.4f}")
assert abs(loss / mean - 0.25) < 1e-4
assert abs(ones / mean_again - 1) < 1e-4
PYTHON
echo "as stated"
