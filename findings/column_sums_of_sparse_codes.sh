#!/usr/bin/env bash
# Versions: scipy 1.17.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: one feature that fires with 1.0 on each of 30 million tokens, in float32: a sparse matrix of one column.
#
# Guess: sums over rows are as exact as NumPy's own, whatever the sparse format.
# Seen: `csr.sum(axis=0)` is 16,777,216: it goes one by one in float32 and stops growing there. The same matrix as
#   CSC has 30,000,000, and so has `csr.sum()`. `csr.mean(axis=0)` is 1, so that sum and mean disagree.
#   Nothing is said. `dtype=np.float64` changes nothing: the sum is made first, and then cast. So a float32 CSC
#   matrix asked for a float64 sum gives one of float32, too. `csr.astype(np.float64).sum(axis=0)` is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import scipy
from scipy.sparse import csr_array

print("scipy", scipy.__version__, "numpy", np.__version__)
tokens = 30_000_000
parts = np.ones(tokens, np.float32), np.zeros(tokens, np.int32), np.arange(tokens + 1)
codes = csr_array(parts, shape=(tokens, 1))
seen = {
    "csr.sum(axis=0)": codes.sum(axis=0)[0],
    "csc.sum(axis=0)": codes.tocsc().sum(axis=0)[0],
    "csr.sum()": codes.sum(),
    "csr.sum(axis=0, dtype=float64)": codes.sum(axis=0, dtype=np.float64)[0],
    "csr.mean(axis=0)": codes.mean(axis=0)[0],
    "csr.astype(float64).sum(axis=0)": codes.astype(np.float64).sum(axis=0)[0],
}
few = csr_array(np.array([[2**24], [1]], np.float32)).tocsc()
seen["csc of 2^24 and 1, dtype=float64"] = few.sum(axis=0, dtype=np.float64)[0]
for name, value in seen.items():
    print(f"{name:32} {value:,.1f}")
stuck = 2.0**24
assert [float(value) for value in seen.values()] == [
    *(stuck, tokens, tokens, stuck, 1.0, tokens, stuck)
]
PYTHON
echo "as stated"
