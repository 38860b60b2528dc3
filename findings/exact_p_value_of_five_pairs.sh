#!/usr/bin/env bash
# Versions: scipy 1.17.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: two rankings of five backbones, with Spearman's ρ = 0.9. Of 120 orders ten are as extreme: p is 10/120 = 0.0833.
#
# Guess: permutation_test with `permutation_type="pairings"` is exact, as 120 is far below its 9,999 resamples.
# Seen: p is drawn: it differs from call to call, between 0.075 and 0.094 in 30 calls. Both samples are permuted, so that
#   14,400 pairings are counted, which is above 9,999. With one sample, the other one inside of the statistic,
#   p is 0.08333 always. spearmanr itself has 0.037, by a t-distribution.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import scipy
from scipy.stats import permutation_test, spearmanr

print("scipy", scipy.__version__)
metric, task = [1, 2, 3, 4, 5], [1, 2, 3, 5, 4]


def p(samples, statistic, seed):
    return permutation_test(samples, statistic, permutation_type="pairings", rng=seed).pvalue


def rho(x, y):
    return spearmanr(x, y).statistic


drawn = [p((metric, task), rho, seed) for seed in range(30)]
exact = [p((metric,), lambda x: rho(x, task), seed) for seed in range(3)]
print(f"both samples: from {min(drawn):.4f} to {max(drawn):.4f}, {len(set(drawn))} different values of 30")
print("one sample:", exact, " spearmanr:", round(spearmanr(metric, task).pvalue, 4))
assert len(set(drawn)) > 10 and min(drawn) < 0.081 and max(drawn) > 0.086
assert all(abs(value - 10 / 120) < 1e-12 for value in exact)
assert abs(spearmanr(metric, task).pvalue - 0.0374) < 1e-4
PYTHON
echo "as stated"
