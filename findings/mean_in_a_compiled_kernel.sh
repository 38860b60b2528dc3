#!/usr/bin/env bash
# Versions: numba 0.68.1, numpy 2.4.6, scipy 1.17.1 (for np.dot); Python 3.11 or newer.
#
# Data: 2^25 ones in float32, about the activations of 200 images of 196 patches and 768 channels.
#
# Guess: `x.mean()` in a compiled function is NumPy's mean: summed pairwise, or in float64.
# Seen: it is 0.5. The sum grows one by one in float32 and stays at 16,777,216; a variance is 0.25 where it
#   is 0. Nothing is said. np.dot of the same arrays is right, as it goes to BLAS.
# `x.sum(dtype=np.float64)` is right in a compiled function, too.
# With NaN the median depends on the order: [1, nan, 3] has nan, [nan, 1, 3] has 3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import numba
import numpy as np

print("numba", numba.__version__, "numpy", np.__version__)


def moments(x):
    return x.sum(), np.sum(x), x.mean(), x.var()


compiled = numba.njit(moments)
in_float64 = numba.njit(lambda x: x.sum(dtype=np.float64))
dot = numba.njit(lambda x: np.dot(x, x))
median = numba.njit(lambda x: np.median(x))
ones = np.ones(2**25, np.float32)
seen = [float(value) for value in compiled(ones)]
expected = [float(value) for value in moments(ones)]
print("sum, np.sum, mean, var, compiled:", seen)
print("sum, np.sum, mean, var, NumPy:   ", expected)
print("compiled, with dtype:", in_float64(ones), " np.dot:", dot(ones))
medians = [median(np.array(x, np.float32)) for x in ([1, np.nan, 3], [np.nan, 1, 3])]
print("medians of [1, nan, 3] and [nan, 1, 3]:", medians)
assert seen == [2.0**24, 2.0**24, 0.5, 0.25]
assert expected == [2.0**25, 2.0**25, 1.0, 0.0]
assert in_float64(ones) == dot(ones) == 2.0**25
assert np.isnan(medians[0]) and medians[1] == 3
PYTHON
echo "as stated"
