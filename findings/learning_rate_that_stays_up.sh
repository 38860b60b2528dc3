#!/usr/bin/env bash
# Versions: eai-sparsify 1.3.3, torch 2.15.0, transformers 5.23.0, datasets 5.2.0, schedulefree 1.4.1, numpy 2.4.6;
# Python 3.11 or newer.
#
# Data: activations of a GPT-2 of two blocks with random weights on random tokens; a TopK SAE, trained with Adam for 40
# batches, with a step after each batch and after each four.
#
# Guess: the learning rate falls to 0 at the end, however many batches make a step.
# Seen: with grad_acc_steps=4 it ends at 0.75 of the first one. The schedule has as many steps as there are batches, and is
#   advanced once a step. lr_warmup_steps counts steps, k_decay_steps counts batches: set to 20 both, K is down at batch 20
#   and the rate is up at batch 80. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  eai-sparsify==1.3.3 torch==2.15.0 transformers==5.23.0 datasets==5.2.0 schedulefree==1.4.1 numpy==2.4.6
FOLDER="$folder" SPARSIFY_DISABLE_TRITON=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import os
from importlib.metadata import version

import torch
from datasets import Dataset
from sparsify import SparseCoderConfig, TrainConfig, Trainer
from transformers import GPT2Config, GPT2Model

torch.manual_seed(0)
model = GPT2Model(GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2))
tokens = Dataset.from_dict({"input_ids": torch.randint(0, 50, (320, 16)).tolist()}).with_format("torch")


def train(batches, **options):
    """The last learning rate, and how many steps were made; K before the last step."""
    config = TrainConfig(
        SparseCoderConfig(num_latents=64, k=4), batch_size=8, hookpoints=["h.0"], optimizer="adam", lr=1e-3,
        grad_acc_steps=batches, save_dir=os.environ["FOLDER"], run_name="run", log_to_wandb=False, **options,
    )
    trainer = Trainer(config, tokens, model)
    steps = []
    trainer.optimizers[0].register_step_post_hook(lambda *seen: steps.append(trainer.saes["h.0"].cfg.k))
    trainer.fit()
    return trainer.optimizers[0].param_groups[0]["lr"], len(steps), steps[-1]


print("eai-sparsify", version("eai-sparsify"), "torch", torch.__version__)
one = train(1, lr_warmup_steps=0)
four = train(4, lr_warmup_steps=0)
print(f"a step after each batch: {one[1]} steps, last rate {one[0]}; after each four: {four[1]} steps, {four[0]}")
assert one[:2] == (0, 40)
assert four[1] == 10
assert abs(four[0] - 0.75e-3) < 1e-9
rate, steps, k = train(4, lr_warmup_steps=20, k_decay_steps=20)
print(f"20 steps of each, four batches a step: K has come down to {k}, the rate has risen to {rate}")
assert k == 4
assert abs(rate - 0.5e-3) < 1e-9
PYTHON
echo "as stated"
