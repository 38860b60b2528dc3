#!/usr/bin/env bash
# Versions: timm 1.0.31, torch 2.15.0, transformers 5.23.0; Python 3.11 or newer.
#
# Model: a ViT of timm with random weights. Hooks on its blocks say which block's output a result is.
#
# Guess: features come in the order of the indices that were asked for, so that blocks [7, 3] are block 7, then block 3.
# Seen: block 3 comes first: `forward_intermediates`, `get_intermediate_layers` and `features_only` sort by depth, and
#   `feature_info.out_indices` still says (7, 3). `[-1, 3]` gives block 3 first as well. All shapes are equal in a ViT,
#   so a loop over indices and features exchanges the blocks. Nothing is said.
#   TimmBackbone of transformers refuses [7, 3] with a sentence.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  timm==1.0.31 torch==2.15.0 transformers==5.23.0
HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import timm
import torch
import transformers
from transformers import TimmBackbone, TimmBackboneConfig

torch.manual_seed(0)
print("timm", timm.__version__, "torch", torch.__version__, "transformers", transformers.__version__)
options = {"model_name": "vit_tiny_patch16_224", "img_size": 64}
vit = timm.create_model(**options).eval()
outputs = []
for block in vit.blocks:
    block.register_forward_hook(lambda module, inputs, output: outputs.append(output[:, 1:]))
pixels = torch.randn(1, 3, 64, 64)
with torch.no_grad():
    vit(pixels)
blocks = list(outputs)


def numbers(features):
    """The block that each feature map is."""
    rows = [x.flatten(2).transpose(1, 2) if x.ndim == 4 else x for x in features]
    return [
        number for row in rows for number, block in enumerate(blocks) if torch.allclose(row, block, atol=1e-5)
    ]


with torch.no_grad():
    found = {
        "forward_intermediates, [7, 3]": vit.forward_intermediates(pixels, indices=[7, 3])[1],
        "forward_intermediates, [-1, 3]": vit.forward_intermediates(pixels, indices=[-1, 3])[1],
        "get_intermediate_layers, [7, 3]": vit.get_intermediate_layers(pixels, n=[7, 3]),
    }
    only = timm.create_model(**options, features_only=True, out_indices=[7, 3]).eval()
    only.model.load_state_dict(vit.state_dict(), strict=False)
    found["features_only, [7, 3]"] = only(pixels)
for name, features in found.items():
    print(f"{name}: blocks {numbers(features)}")
    assert numbers(features) == ([3, 11] if "-1" in name else [3, 7])
print("feature_info.out_indices", only.feature_info.out_indices)
assert tuple(only.feature_info.out_indices) == (7, 3)
try:
    TimmBackbone(
        TimmBackboneConfig(
            backbone="vit_tiny_patch16_224", out_indices=[7, 3], use_pretrained_backbone=False
        )
    )
except Exception as error:
    print("transformers:", type(error).__name__, str(error).splitlines()[0])
else:
    raise SystemExit("transformers takes [7, 3]")
PYTHON
echo "as stated"
