#!/usr/bin/env bash
# Versions: autorank 1.3.0, scipy 1.17.1, statsmodels 0.15.0, pandas 3.1.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: scores of three SAEs on 20 tasks, normal and of one variance, where one differs somewhat from the others.
#
# Guess: `autorank(data, alpha=0.001)` compares at 0.001, so that its intervals are wider than those at 0.05.
# Seen: the intervals are the same to the last digit, and so are the groups of its report, which says "alpha=0.001". Tukey's
#   test is made at 0.05 whatever is asked for. Its own p value is 0.004 here.
#   Without normality alpha counts: the critical distance of Nemenyi's test is 1.13 at 0.001 and 0.74 at 0.05.
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
from scipy.stats import tukey_hsd

draw = np.random.default_rng(0)
noise = draw.normal(size=(20, 3))
noise = (noise - noise.mean(axis=0)) / noise.std(axis=0, ddof=1)
scores = pd.DataFrame(noise + [0.0, 0.0, 1.05], columns=["relu", "topk", "batchtopk"])


def at(alpha, **options):
    """Result and report."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = autorank(scores, alpha=alpha, **options)
        printed.truncate(0)
        create_report(result)
    return result, printed.getvalue().strip("\0\n ").splitlines()


print("autorank", version("autorank"))
(strict, strict_report), (usual, usual_report) = at(0.001), at(0.05)
limits = ["ci_lower", "ci_upper"]
p = tukey_hsd(*scores.to_numpy().T).pvalue[0, 2]
print(strict.rankdf[limits], usual.rankdf[limits], f"p of Tukey's test {p:.4f}", strict_report[-1], sep="\n")
assert strict.omnibus == "anova" and strict.pvalue < 0.001 < p < 0.05
assert strict.rankdf[limits].equals(usual.rankdf[limits])
assert strict_report[-1] == usual_report[-1] and "alpha=0.001" in strict_report[1]
exact = tukey_hsd(*scores.to_numpy().T).confidence_interval(0.999)
assert exact.low[0, 2] < 0 < exact.high[0, 2]
strict, usual = (at(alpha, force_mode="nonparametric")[0].cd for alpha in (0.001, 0.05))
print(f"Nemenyi's critical distance: {strict:.2f} at 0.001, {usual:.2f} at 0.05")
assert strict > 1.3 * usual
PYTHON
echo "as stated"
