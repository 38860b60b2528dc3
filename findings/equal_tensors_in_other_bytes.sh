#!/usr/bin/env bash
# Versions: safetensors 0.8.0, numpy 2.4.6; Python 3.11 or newer.
#
# Data: two arrays, saved twenty times in one process, with six entries of metadata and with one.
#
# Guess: the format has no times and sorts its tensors, so equal tensors and metadata give equal bytes.
# Seen: with one entry they do. With six, most files differ: entries stand in another order each time, however they
#   are sorted before. So checksums of whole files tell no change of content. The tensors' own bytes are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import safetensors
from safetensors.numpy import save

print("safetensors", safetensors.__version__)
tensors = {"W_enc": np.ones((2, 3), np.float32), "b_enc": np.zeros(3, np.float32)}


def files(entries):
    """Twenty files of the same content, and their bytes behind the header."""
    metadata = {f"key_{number}": str(number) for number in range(entries)}
    found = [save(tensors, metadata) for _ in range(20)]
    ends = [8 + int.from_bytes(file[:8], "little") for file in found]
    return len(set(found)), len({file[end:] for file, end in zip(found, ends)})


one, six = files(1), files(6)
print("different files of twenty, and different data in them: one entry", one, ", six entries", six)
assert one == (1, 1)
assert six[0] > 10 and six[1] == 1
PYTHON
echo "as stated"
