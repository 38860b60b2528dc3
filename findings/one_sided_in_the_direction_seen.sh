#!/usr/bin/env bash
# Versions: autorank 1.3.0, scipy 1.17.1, statsmodels 0.15.0, pandas 3.1.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: accuracies of two SAEs on five backbones, one of them far below the others, so that they are not normal. The first
# SAE is better on each backbone. Then 2,000 draws of two SAEs that do not differ, on 30 backbones.
#
# Guess: autorank's p value for two columns is that of scipy's `wilcoxon`: 0.0625, which five pairs cannot beat.
# Seen: it is 0.03125, and the report says that the null hypothesis is rejected. The test is one-sided, in the direction
#   of the larger median. With the columns in the other order it is the other test, with the same p.
#   Where nothing differs, p is below 0.05 in 10 % of draws. Columns that are normal get a two-sided t-test.
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
from autorank import autorank, create_report
from scipy.stats import ttest_rel, wilcoxon


def quietly(function, *arguments, **options):
    """What a function returns, and what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        return function(*arguments, **options), printed.getvalue()


print("autorank", version("autorank"))
five = pd.DataFrame({"topk": [0.90, 0.91, 0.905, 0.902, 0.30], "relu": [0.88, 0.85, 0.80, 0.86, 0.25]})
result, _ = quietly(autorank, five)
swapped, _ = quietly(autorank, five[["relu", "topk"]])
_, report = quietly(create_report, result)
p = wilcoxon(five["topk"], five["relu"]).pvalue
print(f"p {result.pvalue} by autorank, {p} by scipy;", report.splitlines()[-1])
assert result.omnibus == "wilcoxon" and result.pvalue == swapped.pvalue == 0.03125 and p == 0.0625
assert "We reject the null hypothesis" in report

draw = np.random.default_rng(0)
below = []
for _ in range(2000):
    nothing = pd.DataFrame(draw.standard_t(2, size=(30, 2)), columns=["a", "b"])
    result, _ = quietly(autorank, nothing, force_mode="nonparametric")
    below.append(result.pvalue < 0.05)
print(f"p below 0.05 in {np.mean(below):.3f} of draws in which nothing differs")
assert 0.075 < np.mean(below) < 0.11
normal = pd.DataFrame(draw.normal(size=(30, 2)), columns=["a", "b"])
result, _ = quietly(autorank, normal)
assert result.omnibus == "ttest" and np.isclose(result.pvalue, ttest_rel(normal["a"], normal["b"]).pvalue)
PYTHON
echo "as stated"
