#!/usr/bin/env bash
# Versions: timm 1.0.31, torch 2.15.0, safetensors 0.8.0; Python 3.11 or newer.
#
# Data: the weights of a ViT, quantised row by row to int8 with a scale per row, as weight-only
# quantisation leaves them, under the names of the model and in safetensors.
#
# Guess: integers are refused where a model has floating-point weights.
# Seen: load_checkpoint takes them with strict=True: -127 ... 127 become float32 weights, more than a
#   thousand times too large, without a message. Shapes and names agree, and nothing but the values
#   shows it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  timm==1.0.31 torch==2.15.0 safetensors==0.8.0
OMP_NUM_THREADS=1 FOLDER="$folder" "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import os
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from timm.models import load_checkpoint

print("timm", timm.__version__, "torch", torch.__version__)
folder = Path(os.environ["FOLDER"])


def quantised(weights):
    """Matrices as int8 of each row's largest value; vectors as they are."""
    return {
        name: (127 * w / w.abs().amax(-1, keepdim=True)).round().to(torch.int8) if w.ndim == 2 else w
        for name, w in weights.items()
    }


def model(seed):
    torch.manual_seed(seed)
    sizes = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0}
    return timm.create_model("vit_tiny_patch16_224", img_size=32, **sizes)


saved = model(0)
save_file(quantised(saved.state_dict()), folder / "int8.safetensors")
loaded = model(1)
load_checkpoint(loaded, str(folder / "int8.safetensors"), strict=True)
name = "blocks.0.attn.qkv.weight"
before, after = saved.state_dict()[name], loaded.state_dict()[name]
print("timm:", name, after.dtype, "largest", before.abs().max().item(), "->", after.abs().max().item())
assert after.dtype == torch.float32 and after.abs().max() == 127
PYTHON
echo "as stated"
