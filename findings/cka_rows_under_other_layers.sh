#!/usr/bin/env bash
# Versions: torch-cka 0.21, timm 1.0.31, torch 2.15.0, matplotlib 3.11.2; Python 3.11 or newer.
#
# Data: a ViT of two blocks with random weights, compared with a copy of itself on 64 random images. Layers of the first
# model: a block, its attention, its MLP, the next block. Layer of the second: that first block.
#
# Guess: row i of `export()["CKA"]` belongs to `export()["model1_layers"][i]`, so that "blocks.0" has 1.
# Seen: "blocks.0" has 0.29 and "blocks.0.mlp" has 1. Names stand as the model lists its modules, a block before its parts.
#   Rows stand as the modules finish, a block after its parts. So three of four names are wrong.
#   A list of whole blocks is right. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  torch-cka==0.21 timm==1.0.31 torch==2.15.0 matplotlib==3.11.2
HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import copy
from importlib.metadata import version

import timm
import torch
from torch.utils.data import DataLoader, TensorDataset
from torch_cka import CKA

torch.manual_seed(0)
vit = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32, num_classes=0)
images = DataLoader(TensorDataset(torch.randn(64, 3, 32, 32)), batch_size=64)


@torch.no_grad()
def similar(layers):
    """CKA of each layer with the first block, by the names that torch-cka gives."""
    cka = CKA(copy.deepcopy(vit), copy.deepcopy(vit), model1_layers=layers, model2_layers=["blocks.0"])
    cka.compare(images, images)
    exported = cka.export()
    assert exported["model1_layers"] == layers
    return dict(zip(layers, exported["CKA"][:, 0].tolist(), strict=True))


layers = ["blocks.0", "blocks.0.attn", "blocks.0.mlp", "blocks.1"]
together = similar(layers)
alone = {layer: similar([layer])[layer] for layer in layers}
print("torch-cka", version("torch-cka"), "timm", timm.__version__, "torch", torch.__version__)
for layer in layers:
    print(f"{layer:14} {together[layer]:.3f} in one table, {alone[layer]:.3f} alone")
right = [layer for layer in layers if abs(together[layer] - alone[layer]) < 1e-4]
assert abs(alone["blocks.0"] - 1) < 1e-4 and together["blocks.0"] < 0.5
assert right == ["blocks.1"]
moved = [alone[layer] for layer in ("blocks.0.attn", "blocks.0.mlp", "blocks.0", "blocks.1")]
assert torch.allclose(torch.tensor(moved), torch.tensor(list(together.values())), atol=1e-4)
assert abs(similar(["blocks.0", "blocks.1"])["blocks.0"] - 1) < 1e-4
PYTHON
echo "as stated"
