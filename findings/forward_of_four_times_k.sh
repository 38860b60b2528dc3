#!/usr/bin/env bash
# Versions: eai-sparsify 1.3.3, torch 2.15.0, transformers 5.23.0, datasets 5.2.0, schedulefree 1.4.1, numpy 2.4.6;
# Python 3.11 or newer.
#
# Data: 200 random tokens of width 16, and a TopK SAE of 64 latents with K 4 whose config asks for the multi-top-K loss.
#
# Guess: multi_topk adds a term to the loss. What `forward` gives back is of K latents, as `encode` and `fvu` are.
# Seen: `latent_acts` and `latent_indices` have 4 K latents per token, and `sae_out` is decoded from them. `fvu` is that of K
#   latents. So L0 read off a trained SAE's `forward` is four times K, and its reconstruction is one that `fvu` is not of.
#   The trainer counts all 4 K as having fired. The flag stays in cfg.json, so a loaded SAE does the same.
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
from sparsify import SparseCoder, SparseCoderConfig

print("eai-sparsify", version("eai-sparsify"), "torch", torch.__version__)
torch.manual_seed(0)
tokens = torch.randn(200, 16)


@torch.no_grad()
def seen(**options):
    """Latents per token of encode and forward; fvu as said, and that of the reconstruction that came with it."""
    path = os.path.join(os.environ["FOLDER"], "sae")
    torch.manual_seed(1)
    SparseCoder(16, SparseCoderConfig(num_latents=64, k=4, **options)).save_to_disk(path)
    sae = SparseCoder.load_from_disk(path)
    out = sae(tokens)
    again = (tokens - out.sae_out).square().sum() / (tokens - tokens.mean(0)).square().sum()
    codes = sae.encode(tokens).top_acts
    return codes.shape[1], out.latent_acts.shape[1], out.fvu.item(), again.item()


for multi in (False, True):
    encoded, forwarded, said, computed = seen(multi_topk=multi)
    print(f"multi_topk={multi!s:5}  encode {encoded}, forward {forwarded} latents; fvu {said:.4f}, of sae_out {computed:.4f}")
    assert (encoded, forwarded) == (4, 16 if multi else 4)
    assert (abs(said - computed) < 1e-5) is not multi
PYTHON
echo "as stated"
