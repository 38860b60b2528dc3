#!/usr/bin/env bash
# Versions: eai-sparsify 1.3.3, torch 2.15.0, transformers 5.23.0, datasets 5.2.0, schedulefree 1.4.1, numpy 2.4.6;
# Python 3.11 or newer.
#
# Data: activations of a GPT-2 of two blocks with random weights on random tokens; a TopK SAE, trained for 41 batches.
#
# Guess: with wandb_log_frequency=10 the trainer logs the mean FVU of ten steps, about what it logs for each step.
# Seen: it logs a tenth of one step's FVU, that of the step at which it logs: 0.05 where FVU is 0.5. The sum is divided by
#   the steps between two logs, and emptied after each step. With 100 steps an SAE of FVU 0.5 is logged as 0.005.
#   The training is the same to the last digit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  eai-sparsify==1.3.3 torch==2.15.0 transformers==5.23.0 datasets==5.2.0 schedulefree==1.4.1 numpy==2.4.6
FOLDER="$folder" SPARSIFY_DISABLE_TRITON=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType

import torch

logged = []
wandb = ModuleType("wandb")  # keeps what the trainer logs
wandb.__spec__ = ModuleSpec("wandb", None)
wandb.init = lambda **settings: None
wandb.log = lambda values, step: logged.append((step, values["fvu/h.0"]))
sys.modules["wandb"] = wandb
from datasets import Dataset
from sparsify import SparseCoderConfig, TrainConfig, Trainer
from transformers import GPT2Config, GPT2Model

torch.manual_seed(0)
model = GPT2Model(GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2))
tokens = Dataset.from_dict({"input_ids": torch.randint(0, 50, (328, 16)).tolist()}).with_format("torch")


def train(every):
    """Logged FVU by step, and the SAE's weights at the end."""
    logged.clear()
    config = TrainConfig(
        SparseCoderConfig(num_latents=64, k=4), batch_size=8, hookpoints=["h.0"], wandb_log_frequency=every,
        save_dir=os.environ["FOLDER"], run_name="run",
    )
    trainer = Trainer(config, tokens, model)
    trainer.fit()
    return dict(logged), trainer.saes["h.0"].W_dec.detach().clone()


each, weights = train(1)
tenth, weights_again = train(10)
print("eai-sparsify", version("eai-sparsify"), "torch", torch.__version__)
for step, value in tenth.items():
    print(f"step {step}: FVU {each[step]:.4f} in the log of each step, {value:.4f} in that of every tenth")
    assert abs(value * 10 - each[step]) < 1e-4
assert len(tenth) == 4
assert torch.equal(weights, weights_again)
PYTHON
echo "as stated"
