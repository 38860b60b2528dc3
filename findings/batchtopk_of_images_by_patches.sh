#!/usr/bin/env bash
# Versions: dictionary-learning 0.1.0 without its dependencies, einops 0.8.2, torch 2.13.0, numpy 2.4.6;
# Python 3.11 or newer.
#
# Data: activations of 5 images of 10 patches, as [images, patches, width] and as [tokens, width]. K is 8.
#
# Guess: a BatchTopK SAE keeps 8 codes per token on average, 400 in all, whatever the shape.
# Seen: of [tokens, width] it keeps 400, of [images, patches, width] 40: the first axis is taken for the tokens.
#   With 196 patches that are 0.04 codes per token. Nothing is said, and shapes of codes are as expected.
#   With the threshold, as after training, both shapes give the same codes; so does AutoEncoderTopK.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --no-deps dictionary-learning==0.1.0 einops==0.8.2
"${pip[@]}" torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import torch
import torch._dynamo  # before the stand-ins: it asks which modules there are

# The SAEs need torch and einops alone; what reads language models is replaced by empty modules.
for name in ("datasets", "nnsight", "transformers", "tqdm", "wandb", "pandas", "huggingface_hub"):
    sys.modules[name] = MagicMock()
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK

print("dictionary-learning", version("dictionary-learning"), "torch", torch.__version__)
torch.manual_seed(0)
tokens = torch.randn(50, 16)
images = tokens.reshape(5, 10, 16)


def kept(encode):
    return [int((encode(x) != 0).sum()) for x in (tokens, images)]


with torch.no_grad():
    sae = BatchTopKSAE(16, 64, 8)
    by_batch = kept(lambda x: sae.encode(x, use_threshold=False))
    sae.threshold.fill_(0.1)
    by_threshold = kept(lambda x: sae.encode(x, use_threshold=True))
    topk = kept(AutoEncoderTopK(16, 64, 8).encode)
print("codes kept of [50, 16] and of [5, 10, 16], by the batch:", by_batch)
print("by the threshold:", by_threshold, " TopK:", topk)
assert by_batch == [400, 40]
assert by_threshold[0] == by_threshold[1] > 0
assert topk == [400, 400]
PYTHON
echo "as stated"
