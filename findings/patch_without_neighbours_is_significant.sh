#!/usr/bin/env bash
# Versions: esda 2.9.0, libpysal 4.14.1, numpy 2.4.6; Python 3.11 or newer.
#
# Data: 8 maps of noise on a grid of 14 × 14 patches, of which 8 were masked: those around one patch in the middle. That
# patch has no neighbours left.
#
# Guess: a patch without neighbours has no local Moran's I, and so NaN for its p value and no cluster.
# Seen: its p value is 0.001 on every map, the smallest that 999 permutations give. `get_cluster_labels` calls it "Low-Low"
#   or "High-Low", by its own value. No other patch is significant on every map. G_Local has 0.001 as well.
#   The statistic is 0 in every permutation, and so never beyond. libpysal warns of the island, esda says nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  esda==2.9.0 libpysal==4.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from collections import Counter
from importlib.metadata import version

import numpy as np
from esda import G_Local, Moran_Local
from libpysal.weights import W, lat2W

SIDE = 14
kept = np.ones((SIDE, SIDE), dtype=bool)
kept[6:9, 6:9] = False
kept[7, 7] = True
patches = np.flatnonzero(kept)
neighbours = lat2W(SIDE, SIDE).neighbors
weights = W({patch: [other for other in neighbours[patch] if kept.flat[other]] for patch in patches})
(alone,) = weights.islands
place = list(patches).index(alone)

draw = np.random.default_rng(0)
p_values, labels = [], []
for seed in range(8):
    noise = draw.normal(size=len(patches))
    local = Moran_Local(noise, weights, permutations=999, seed=seed)
    p_values.append(local.p_sim)
    labels.append(local.get_cluster_labels(0.05)[place])
    assert labels[-1] == ("High-Low" if noise[place] > noise.mean() else "Low-Low")
    assert G_Local(np.abs(noise), weights, permutations=999, seed=seed).p_sim[place] == 0.001
always = np.flatnonzero(np.max(p_values, axis=0) <= 0.05)
print("esda", version("esda"), "libpysal", version("libpysal"))
print("p of the patch without neighbours", {p[place] for p in p_values}, "called", dict(Counter(labels)))
print("patches with p of at most 0.05 on all maps", patches[always], "the patch without neighbours", alone)
assert {p[place] for p in p_values} == {0.001}
assert list(always) == [place]
PYTHON
echo "as stated"
