#!/usr/bin/env bash
# Versions: scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: 3,000 activations of width 64 in float16, as caches hold them: values around 300, none above 600.
# In one column one of two classes lies 40 higher.
#
# Guess: float16 is made float32 or float64 inside, as cosine_similarity, f_classif and PCA do it.
# Seen: `normalize` gives rows of zeros, without a warning: the norm is summed in float16 and is infinite.
#   So cosines by a product of normalised rows are all 0. cosine_similarity of the same array is right.
#   r2_score of a reconstruction that is 1 % too large is 1.0 where it is 0.996, so that FVU is 0.
#   scipy's ttest_ind has t = 0 where it is below -15, and f_oneway gives nan where f_classif is right.
#   The last three warn of an overflow in NumPy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import scipy
import sklearn
from scipy.stats import f_oneway, ttest_ind
from sklearn.feature_selection import f_classif
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

print("scikit-learn", sklearn.__version__, "scipy", scipy.__version__, "numpy", np.__version__)
generator = np.random.default_rng(0)
half = generator.normal(300, 50, (3000, 64))
labels = generator.integers(0, 2, 3000)
half[labels == 1, 0] += 40
half = half.astype(np.float16)
assert half.max() < 600


def normalised(values):
    return np.abs(normalize(values)).max()


def cosine(values):
    return cosine_similarity(values[:2])[0, 1]


def r2(values):
    return r2_score(values, values * values.dtype.type(1.01))


def f_of_scikit_learn(values):
    return f_classif(values, labels)[0][0]


def f_of_scipy(values):
    return f_oneway(values[labels == 0, 0], values[labels == 1, 0]).statistic


def t(values):
    return ttest_ind(values[labels == 0, 0], values[labels == 1, 0]).statistic


seen = {}
for measure in (normalised, cosine, r2, f_of_scikit_learn, f_of_scipy, t):
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        given = float(measure(half))
    right = float(measure(half.astype(np.float64)))
    seen[measure.__name__] = given, right, bool(raised)
    print(f"{measure.__name__:18} float16 {given:9.4f}  float64 {right:9.4f}  warnings: {bool(raised)}")
assert seen["normalised"][0] == 0 and not seen["normalised"][2]
assert seen["cosine"][0] == seen["cosine"][1] > 0.9
assert seen["r2"][0] == 1 and seen["r2"][1] < 0.997 and seen["r2"][2]
assert seen["f_of_scikit_learn"][0] == seen["f_of_scikit_learn"][1] > 200
assert np.isnan(seen["f_of_scipy"][0]) and seen["f_of_scipy"][2]
assert seen["t"][0] == 0 and seen["t"][1] < -15 and seen["t"][2]
PYTHON
echo "as stated"
