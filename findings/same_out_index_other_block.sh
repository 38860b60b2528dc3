#!/usr/bin/env bash
# Versions: transformers 5.23.0, timm 1.0.31, torch 2.15.0; Python 3.11 or newer.
#
# Models: two backbones of transformers with random weights: its own DINOv2, and a ViT of timm inside of TimmBackbone.
# Hooks on their blocks say which block's output a feature map is.
#
# Guess: out_indices=[3] of an AutoBackbone is block 3, with or without the final norm, in either class.
# Seen: TimmBackbone gives block 3 (from 0) as it leaves the block. Dinov2Backbone gives block 2 behind the final
#   norm: its index 0 is the patch embedding, and apply_layernorm is on. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.23.0 timm==1.0.31 torch==2.15.0
HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import timm
import torch
import transformers
from transformers import Dinov2Backbone, Dinov2Config, TimmBackbone, TimmBackboneConfig

print("transformers", transformers.__version__, "timm", timm.__version__, "torch", torch.__version__)
torch.manual_seed(0)


@torch.no_grad()
def block_of(backbone, blocks, norm, pixels):
    """(block, "as it is" or "normed") of the only feature map."""
    outputs = []
    for block in blocks:
        block.register_forward_hook(
            lambda module, inputs, output: outputs.append(
                output[0] if isinstance(output, tuple) else output
            )
        )
    patches = backbone(pixels).feature_maps[0].flatten(2).transpose(1, 2)
    found = []
    for number, output in enumerate(outputs):
        for name, tokens in (("as it is", output), ("normed", norm(output))):
            if torch.allclose(patches, tokens[:, 1:], atol=1e-5):
                found.append((number, name))
    return found


own = Dinov2Backbone(
    Dinov2Config(
        hidden_size=32, num_hidden_layers=5, num_attention_heads=2, image_size=56, out_indices=[3]
    )
).eval()
torch.nn.init.normal_(own.layernorm.weight)
of_own = block_of(own, own.encoder.layer, own.layernorm, torch.randn(1, 3, 56, 56))
config = TimmBackboneConfig(
    backbone="vit_tiny_patch16_224", out_indices=[3], use_pretrained_backbone=False
)
inside = TimmBackbone(config).eval()
vit = inside._backbone.model
norm = torch.nn.LayerNorm(192, eps=1e-6)  # what timm's model would have behind its last block
torch.nn.init.normal_(norm.weight)
of_timm = block_of(inside, vit.blocks, norm, torch.randn(1, 3, 224, 224))
print("out_indices=[3]: Dinov2Backbone", of_own, " TimmBackbone", of_timm)
assert of_own == [(2, "normed")]
assert of_timm == [(3, "as it is")]
PYTHON
echo "as stated"
