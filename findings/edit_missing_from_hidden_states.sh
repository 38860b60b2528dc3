#!/usr/bin/env bash
# Versions: transformers 5.23.0, torch 2.15.0; Python 3.11 or newer.
#
# Model: ViT with random weights, four blocks, width 32. A forward hook on the second block adds 1 to
# its output, as an intervention on features does. `hidden_states[2]` is that block's output, and the
# next block's input is looked at by a hook of its own.
#
# Guess: hidden_states[2] is what goes into the next block, edited where the hook edits.
# Seen: that holds only where the hook is registered before the model's first call. Registered after
#   one call that asked for hidden states, the edit reaches the next block (+1) and is missing from
#   hidden_states[2] (+0): the model records through hooks of its own, which stand in front from then
#   on. DeiT, DINOv2, DINOv3, CLIP, SigLIP, BEiT, MAE, I-JEPA and MSN do the same; Data2Vec shows the
#   edit always.
# Nothing is said. Whoever first measures a baseline and then edits compares with unedited states.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.23.0 torch==2.15.0
HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
import transformers

print("transformers", transformers.__version__, "torch", torch.__version__)
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def edit(module, inputs, output):
    return (output[0] + 1, *output[1:]) if isinstance(output, tuple) else output + 1


@torch.no_grad()
def shown_and_used(model, blocks, called_before):
    """How far hidden_states[2] and the third block's input lie above those without the edit."""
    used = []
    watch = blocks[2].register_forward_pre_hook(lambda module, inputs: used.append(inputs[0].clone()))
    if called_before:
        model(pixels, output_hidden_states=True)
    hook = blocks[1].register_forward_hook(edit)
    shown = model(pixels, output_hidden_states=True).hidden_states[2]
    hook.remove()
    plain = model(pixels, output_hidden_states=True).hidden_states[2]
    watch.remove()
    with_edit = used[1] if called_before else used[0]
    return tuple(round((there - plain).mean().item(), 3) for there in (shown, with_edit))


def fresh(kind):
    config, model, blocks = {
        "ViT": (transformers.ViTConfig, transformers.ViTModel, "layers"),
        "CLIP": (transformers.CLIPVisionConfig, transformers.CLIPVisionModel, "encoder.layers"),
        "DINOv2": (transformers.Dinov2Config, transformers.Dinov2Model, "encoder.layer"),
        "Data2Vec": (
            transformers.Data2VecVisionConfig,
            transformers.Data2VecVisionModel,
            "encoder.layer",
        ),
    }[kind]
    torch.manual_seed(0)
    built = model(config(**SIZES)).eval()
    return built, built.get_submodule(blocks)


seen = {}
for kind in ("ViT", "CLIP", "DINOv2", "Data2Vec"):
    for called_before in (False, True):
        seen[kind, called_before] = shown_and_used(*fresh(kind), called_before)
        when = "after a call" if called_before else "before any call"
        shown, used = seen[kind, called_before]
        print(f"{kind:9} hook registered {when:16} hidden_states[2] {shown:+.3f}, next input {used:+.3f}")
for (kind, called_before), (shown, used) in seen.items():
    assert used == 1.0
    assert shown == (0.0 if called_before and kind != "Data2Vec" else 1.0)
PYTHON
echo "as stated"
