#!/usr/bin/env bash
# Versions: thingsvision 2.7.3, numpy 1.26.4, torch 2.15.0, torchtyping 0.1.5; Python 3.11 or newer.
# Only thingsvision's folder of CKA is imported, so its TensorFlow and its models are not installed.
#
# Data: two sets of features that have nothing to do with each other, 200 images in 768 dimensions, normally distributed.
# And the first set beside itself in which a tenth is noise.
#
# Guess: `get_cka(kernel="rbf")` is low for the first pair and high for the second, as the linear kernel has it.
# Seen: it is 1.0 for both. The kernel's width is 1 by default, whatever the features, and distances in 768
#   dimensions are about 39. So each image is like itself alone, and all sets of features are alike.
#   `unbiased=True` gives NaN. Nothing is said but NumPy's warning of a division there. With `sigma=None` the width is a
#   median, and the unbiased values are -0.003 and 0.99.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  numpy==1.26.4 torch==2.15.0 torchtyping==0.1.5
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps thingsvision==2.7.3
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import files, version

(here,) = [file.locate() for file in files("thingsvision") if file.match("core/cka/__init__.py")]
sys.path.insert(0, str(here.parent.parent))
import numpy as np
from cka import get_cka

print("thingsvision", version("thingsvision"), "numpy", np.__version__)
draw = np.random.default_rng(0)
features, others, noise = draw.normal(size=(3, 200, 768)).astype(np.float32)
pairs = {"unrelated": (features, others), "alike": (features, features + 0.1 * noise)}
found = {}
for kernel, width in (("linear", {}), ("rbf", {}), ("rbf", {"sigma": None})):
    for unbiased in (False, True):
        for name, pair in pairs.items():
            cka = get_cka("numpy", m=200, kernel=kernel, unbiased=unbiased, **width)
            value = float(cka.compare(*pair))
            found[kernel, "sigma" in width, unbiased, name] = value
            print(f"{kernel:6} {width} unbiased={unbiased!s:5} {name:9} {value:.4f}")
assert abs(found["linear", False, True, "unrelated"]) < 0.05
assert found["linear", False, True, "alike"] > 0.95
for name in pairs:
    assert found["rbf", False, False, name] == 1
    assert np.isnan(found["rbf", False, True, name])
assert abs(found["rbf", True, True, "unrelated"]) < 0.05
assert found["rbf", True, True, "alike"] > 0.95
PYTHON
echo "as stated"
