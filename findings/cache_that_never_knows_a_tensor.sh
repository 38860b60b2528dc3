#!/usr/bin/env bash
# Versions: joblib 1.6.0, torch 2.13.0 and 2.15.0, numpy 2.4.6; Python 3.11 or newer. This runs torch 2.13.0.
#
# Data: six numbers, as a NumPy array and as a tensor, made anew for each call.
#
# Guess: joblib.Memory computes once for equal tensors, as it does for equal arrays.
# Seen: it computes at each call, and stores a result each time: hashes of equal tensors differ, even of a clone.
#   Nothing is said. `tensor.numpy()` as the argument is known again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  joblib==1.6.0 torch==2.13.0 numpy==2.4.6
cat > "$folder/cached.py" <<'PYTHON'
import os

import joblib
import torch

print("joblib", joblib.__version__, "torch", torch.__version__)
memory = joblib.Memory(os.environ["FOLDER"], verbose=0)
calls = []


@memory.cache
def total(values):
    calls.append(type(values).__name__)
    return float(values.sum())


for _ in range(3):
    tensor = torch.arange(6.0)
    assert total(tensor) == total(tensor.numpy()) == 15
one = torch.arange(6.0)
print("computed for tensors:", calls.count("Tensor"), "times, for arrays:", calls.count("ndarray"))
print("hash of a tensor and of its clone:", joblib.hash(one) == joblib.hash(one.clone()))
assert calls.count("Tensor") == 3 and calls.count("ndarray") == 1
assert joblib.hash(one) == joblib.hash(one) != joblib.hash(one.clone())
PYTHON
FOLDER="$folder/memory" OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/cached.py"
echo "as stated"
