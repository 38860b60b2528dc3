#!/usr/bin/env bash
# Versions: h5py 3.16.0 with HDF5 2.0.0; Python 3.11 or newer.
#
# Data: one array of twelve numbers, written twice, 1.2 seconds apart, in five ways.
#
# Guess: h5py files of equal content are equal bytes, since `track_times` is off by default.
# Seen: so they are for contiguous, chunked and compressed data sets, groups and attributes.
#   `create_virtual_dataset` alone stores when it was called. It has no argument to turn that off. The
#   low-level call with `set_obj_track_times(False)` gives equal bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check h5py==3.16.0
cat > "$folder/written_twice.py" <<'PYTHON'
import time
from pathlib import Path

import h5py
import numpy as np

VALUES = np.arange(12.0)


def plain(file):
    file["x"] = VALUES


def chunked(file):
    file.create_dataset("x", data=VALUES, chunks=(4,), compression="gzip")


def group_and_attributes(file):
    file.create_group("g").attrs["x"] = VALUES


def layout():
    found = h5py.VirtualLayout((12,), "f8")
    found[:] = h5py.VirtualSource("source.h5", "x", (12,))
    return found


def virtual(file):
    file.create_virtual_dataset("x", layout())


def virtual_without_time(file):
    from h5py import h5d, h5p, h5s, h5t

    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    space = h5s.create_simple((12,))
    creation.set_virtual(space, b"source.h5", b"x", h5s.create_simple((12,)))
    h5d.create(file.id, b"x", h5t.NATIVE_DOUBLE, space, creation)


def written(way, name):
    with h5py.File(name, "w") as file:
        way(file)
    return Path(name).read_bytes()


ways = [plain, chunked, group_and_attributes, virtual, virtual_without_time]
first = [written(way, f"{way.__name__}_1.h5") for way in ways]
time.sleep(1.2)
second = [written(way, f"{way.__name__}_2.h5") for way in ways]
for way, one, other in zip(ways, first, second):
    print(f"{way.__name__}: {'equal' if one == other else 'different'} bytes")
print(h5py.version.hdf5_version)
assert [a == b for a, b in zip(first, second)] == [True, True, True, False, True]
PYTHON
cd "$folder"
venv/bin/python written_twice.py
