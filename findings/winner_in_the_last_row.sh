#!/usr/bin/env bash
# Versions: autorank 1.3.0, scipy 1.17.1, statsmodels 0.15.0, pandas 3.1.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: scores of three SAEs on 20 tasks, normal and of one variance. "best" is above "middle", and that above "worst", by
# 0.75 standard deviations each. Larger is better, as by default.
#
# Guess: the first row of `rankdf` is the best one, and effect sizes are differences from it ("in comparison to the
#   highest ranking approach"), so that none is negative.
# Seen: the first row is "worst", with mean rank 2.55, and effect sizes are negative: differences from the worst.
#   `approach="bayesian"` lists the same data from "best", as does `order="ascending"` where smaller is better.
#   So `rankdf.index[0]` is the winner or the loser. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  autorank==1.3.0 baycomp==1.0.3 statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 matplotlib==3.11.2 numpy==2.4.6
MPLBACKEND=agg "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

import numpy as np
import pandas as pd
from autorank import autorank

draw = np.random.default_rng(0)
names = ["middle", "best", "worst"]
scores = pd.DataFrame(draw.normal(size=(20, 3)) + [0.75, 1.5, 0.0], columns=names)


def rows(data, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        return autorank(data, **options).rankdf


print("autorank", version("autorank"))
frequentist = rows(scores)
bayesian = rows(scores, approach="bayesian", random_state=0)
ascending = rows(-scores, order="ascending")
print(frequentist[["meanrank", "mean", "effect_size"]])
print(bayesian[["mean", "effect_size"]])
assert list(frequentist.index) == ["worst", "middle", "best"]
assert list(bayesian.index) == list(ascending.index) == ["best", "middle", "worst"]
assert frequentist["meanrank"].is_monotonic_decreasing and frequentist.loc["best", "effect_size"] < -1
assert bayesian.loc["worst", "effect_size"] > 1
PYTHON
echo "as stated"
