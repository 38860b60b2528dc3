#!/usr/bin/env bash
# Versions: hdf5plugin 7.1.0, h5py 3.16.0 with HDF5 2.0.0, numpy 2.4.6; Python 3.11 or newer.
#
# Data: 64 × 64 codes in float32, of which 16 % are active, stored with an absolute error of at most 0.01. And the
# same with one NaN, which marks a patch that was not measured.
#
# Guess: zeros are so simple that they stay zeros, and NaN stays NaN or is refused.
# Seen: the bound is kept, and zeros become small numbers: of 3,451 zeros ZFP keeps 291, SZ 8 and SZ3 380. More
#   than nine codes in ten are active then, so L0 of a compressed file means nothing.
#   NaN is read back as a number by ZFP (-4.0) and by SZ3 (-21,474,836). SZ keeps it. Nothing is said.
#   Zstandard and Blosc2 keep every bit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  hdf5plugin==7.1.0 h5py==3.16.0 numpy==2.4.6
FILE="$folder/x.h5" "$folder/venv/bin/python" - <<'PYTHON'
import os

import h5py
import hdf5plugin
import numpy as np

print("hdf5plugin", hdf5plugin.version, "h5py", h5py.__version__, "HDF5", h5py.version.hdf5_version)
codes = np.random.default_rng(0).normal(0, 1, (64, 64)).astype(np.float32)
codes[codes < 1] = 0
missing = codes.copy()
missing[0, 0] = np.nan


def back(values, filters):
    with h5py.File(os.environ["FILE"], "w") as file:
        file.create_dataset("x", data=values, chunks=values.shape, **filters)
    with h5py.File(os.environ["FILE"]) as file:
        return file["x"][:]


kept, places = {}, {}
for name, filters in {
    "Zfp": hdf5plugin.Zfp(accuracy=0.01),
    "SZ": hdf5plugin.SZ(absolute=0.01),
    "SZ3": hdf5plugin.SZ3(absolute=0.01),
    "Zstd": hdf5plugin.Zstd(),
    "Blosc2": hdf5plugin.Blosc2(),
}.items():
    found = back(codes, filters)
    assert np.abs(found - codes).max() <= 0.01 * 1.0001
    kept[name] = int((found[codes == 0] == 0).sum())
    places[name] = float(back(missing, filters)[0, 0])
    active = (found != 0).mean()
    print(f"{name:7} zeros kept {kept[name]} of {(codes == 0).sum()}, active {active:.2f}, NaN → {places[name]}")
zeros = int((codes == 0).sum())
assert zeros == kept["Zstd"] == kept["Blosc2"] and (codes != 0).mean() < 0.18
assert max(kept[name] for name in ("Zfp", "SZ", "SZ3")) < zeros / 5
assert all(np.isnan(places[name]) for name in ("SZ", "Zstd", "Blosc2"))
assert all(np.isfinite(places[name]) for name in ("Zfp", "SZ3"))
PYTHON
echo "as stated"
