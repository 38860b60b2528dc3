#!/usr/bin/env bash
# Versions: scikit-dimension 0.5.0, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: 500 features in 50 dimensions that fill a subspace of five, and the same with one of them a second time, as where an
# image is twice in a data set.
#
# Guess: one of 501 rows changes no estimate of the intrinsic dimension by more than a few per cent.
# Seen: that holds for six estimators. MLE gives 4.87 for 500 rows and 0.0 for 501. Both copies have dimension 0, by the
#   logarithm of their distance, and the default `comb="mle"` is a harmonic mean. `comb="mean"` gives 5.12, and
#   `comb="median"` 4.85. NumPy warns of a division at most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  scikit-dimension==0.5.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import skdim

draw = np.random.default_rng(0)
features = draw.normal(size=(500, 5)) @ draw.normal(size=(5, 50))
twice = np.vstack([features, features[:1]])
print("scikit-dimension", version("scikit-dimension"), "numpy", np.__version__)
for name in ("TwoNN", "lPCA", "CorrInt", "MOM", "TLE", "FisherS"):
    once, again = (getattr(skdim.id, name)().fit(rows).dimension_ for rows in (features, twice))
    print(f"{name:8} {once:.3f} of 500 rows, {again:.3f} of 501")
    assert abs(again / once - 1) < 0.05
once = skdim.id.MLE().fit(features).dimension_
again = skdim.id.MLE().fit(twice)
print(f"MLE      {once:.3f} of 500 rows, {again.dimension_:.3f} of 501")
assert 4.5 < once < 5.5 and again.dimension_ == 0
assert again.dimension_pw_[0] == again.dimension_pw_[-1] == 0 < again.dimension_pw_[1:-1].min()
for comb in ("mean", "median"):
    value = skdim.id.MLE().fit(twice, comb=comb).dimension_
    print(f"MLE, comb={comb!r}: {value:.3f}")
    assert 4.5 < value < 5.5
PYTHON
echo "as stated"
