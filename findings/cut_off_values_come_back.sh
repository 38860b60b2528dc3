#!/usr/bin/env bash
# Versions: zarr 3.1.6, h5py 3.16.0 with HDF5 2.0.0, numpy 2.4.6; Python 3.11 or newer.
#
# Data: activations of 10 images, in chunks of four, all 7. The array is shortened to five images and made longer again,
# as where a run that failed is cut back and goes on.
#
# Guess: the five images that were cut off are fill values then, as in HDF5.
# Seen: in zarr three of them are back with their old values, and two are fill values. Chunks that are cut off as a whole
#   are deleted. The rest of a chunk that is cut is kept, and seen again. In HDF5 all five are fill values.
#   So images that were never written again look like images that were. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  zarr==3.1.6 h5py==3.16.0 numpy==2.4.6
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os

import h5py
import numpy as np
import zarr

print("zarr", zarr.__version__, "h5py", h5py.__version__, "HDF5", h5py.version.hdf5_version)
values = np.full((10, 2), 7, dtype=np.float32)
found = {}
for zarr_format in (2, 3):
    array = zarr.create_array(
        f"{os.environ['FOLDER']}/{zarr_format}.zarr", shape=(10, 2), chunks=(4, 2), dtype=np.float32,
        fill_value=np.nan, zarr_format=zarr_format,
    )
    array[:] = values
    array.resize((5, 2))
    array.resize((10, 2))
    found[f"zarr, format {zarr_format}"] = array[:, 0]
with h5py.File(f"{os.environ['FOLDER']}/x.h5", "w") as file:
    dataset = file.create_dataset("x", data=values, chunks=(4, 2), maxshape=(None, 2), fillvalue=np.nan)
    dataset.resize((5, 2))
    dataset.resize((10, 2))
    found["HDF5"] = dataset[:, 0]
for name, column in found.items():
    print(f"{name}: {column}")
    kept = 5 if name == "HDF5" else 8
    assert (column[:kept] == 7).all() and np.isnan(column[kept:]).all()
PYTHON
echo "as stated"
