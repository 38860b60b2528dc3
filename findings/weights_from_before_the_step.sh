#!/usr/bin/env bash
# Versions: torch 2.13.0 and 2.15.0 on the CPU, numpy 2.4.6; Python 3.11 or newer. This runs 2.13.0.
#
# Data: a linear decoder inside of one `torch.autocast` block. Between two calls its weights are doubled in place, as a
# step of an optimiser or a normalisation of decoder columns changes them.
#
# Guess: the second call uses the new weights, since autograd counts changes in place.
# Seen: it gives the first call's output, to the bit, also under no_grad. Autocast keeps the cast weights until the
#   block is left, and does not look for changes. Nothing is said. A new block, or cache_enabled=False, uses the new
#   weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)
codes = torch.ones(1, 4)


def growth(apart=False, **options):
    """By how much outputs grow when the weights are doubled."""
    torch.manual_seed(0)
    decoder = torch.nn.Linear(4, 4, bias=False)
    with torch.autocast("cpu", torch.bfloat16, **options):
        before = decoder(codes)
        with torch.no_grad():
            decoder.weight.mul_(2)
        if not apart:
            after = decoder(codes)
    if apart:
        with torch.autocast("cpu", torch.bfloat16, **options):
            after = decoder(codes)
    return (after / before).mean().item()


seen = growth(), growth(apart=True), growth(cache_enabled=False)
print("outputs grow by: in one block %g, in a new block %g, without the cache %g" % seen)
assert seen == (1, 2, 2)
with torch.no_grad():
    frozen = growth()
print("under no_grad, in one block %g" % frozen)
assert frozen == 1
PYTHON
echo "as stated"
