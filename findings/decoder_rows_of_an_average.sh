#!/usr/bin/env bash
# Versions: eai-sparsify 1.3.3, torch 2.15.0, transformers 5.23.0, datasets 5.2.0, schedulefree 1.4.1, numpy 2.4.6;
# Python 3.11 or newer.
#
# Data: activations of a GPT-2 of two blocks with random weights on random tokens; a TopK SAE, trained for 100 steps with
# each of two optimizers. normalize_decoder is on, as it is by default.
#
# Guess: the decoder rows of the saved SAE have norm 1.
# Seen: with Adam they have, to 1e-4. With signum, the default, they lie between 0.86 and 1.001: an average of weights is
#   saved, and an average of unit rows is shorter. cfg.json says normalize_decoder, and loading normalises nothing.
#   So codes of such a file are not in units of the reconstruction.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  eai-sparsify==1.3.3 torch==2.15.0 transformers==5.23.0 datasets==5.2.0 schedulefree==1.4.1 numpy==2.4.6
FOLDER="$folder" SPARSIFY_DISABLE_TRITON=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import os
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import Dataset
from sparsify import SparseCoder, SparseCoderConfig, TrainConfig, Trainer
from transformers import GPT2Config, GPT2Model

torch.manual_seed(0)
model = GPT2Model(GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2))
tokens = Dataset.from_dict({"input_ids": torch.randint(0, 50, (800, 16)).tolist()}).with_format("torch")


def train(**options):
    """Shortest and longest decoder row of the saved SAE."""
    config = TrainConfig(
        SparseCoderConfig(num_latents=64, k=4), batch_size=8, hookpoints=["h.0"], save_dir=os.environ["FOLDER"],
        run_name="run", log_to_wandb=False, **options,
    )
    Trainer(config, tokens, model).fit()
    saved = Path(os.environ["FOLDER"]) / "run" / "h.0"
    assert json.loads((saved / "cfg.json").read_text())["normalize_decoder"] is True
    norms = SparseCoder.load_from_disk(saved).W_dec.norm(dim=1)
    return norms.min().item(), norms.max().item()


print("eai-sparsify", version("eai-sparsify"), "torch", torch.__version__)
by_default = train()
adam = train(optimizer="adam", lr=1e-3, lr_warmup_steps=0)
print("decoder norms, signum: {:.4f} to {:.4f}; Adam: {:.4f} to {:.4f}".format(*by_default, *adam))
assert by_default[0] < 0.95
assert max(abs(norm - 1) for norm in adam) < 1e-3
PYTHON
echo "as stated"
