#!/usr/bin/env bash
# Versions: statsmodels 0.15.0, scipy 1.17.1, numpy 2.4.6, pandas 3.1.1; Python 3.11 or newer.
#
# Data: p values of four features, one of which is NaN since the feature never fired.
#
# Guess: multipletests leaves NaN alone and corrects the other three, as if there were three; or it refuses.
# Seen: with fdr_bh all four corrected values are NaN, and yet the first test is rejected. Holm and Bonferroni
#   count the NaN as a test: 0.04 instead of 0.03. The two-stage fdr_tsbh rejects three tests, all values are NaN.
#   Nothing is said. scipy's false_discovery_control refuses NaN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import statsmodels
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

print("statsmodels", statsmodels.__version__)
values = np.array([0.01, np.nan, 0.03, 0.04])
seen = {}
with warnings.catch_warnings(record=True) as raised:
    warnings.simplefilter("always")
    for method in ("fdr_bh", "fdr_tsbh", "holm", "bonferroni"):
        rejected, corrected = multipletests(values, method=method)[:2]
        seen[method] = rejected.tolist(), corrected.tolist()
        without = multipletests(values[[0, 2, 3]], method=method)[1]
        print(f"{method:11}", rejected, corrected, "without NaN:", without.round(4))
print("warnings:", [str(warning.message) for warning in raised])
try:
    false_discovery_control(values)
    refused = False
except ValueError as error:
    refused = True
    print("scipy:", error)
assert seen["fdr_bh"][0] == [True, False, False, False] and np.isnan(seen["fdr_bh"][1]).all()
assert seen["fdr_tsbh"][0] == [True, False, True, True] and np.isnan(seen["fdr_tsbh"][1]).all()
assert seen["holm"][1][0] == seen["bonferroni"][1][0] == 0.04
assert refused and not raised
PYTHON
echo "as stated"
