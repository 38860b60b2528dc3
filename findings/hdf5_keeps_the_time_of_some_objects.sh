#!/usr/bin/env bash
# Versions: h5py 3.16.0 with HDF5 2.0.0; Python 3.11 or newer.
#
# Data: one array of twelve numbers, written twice, 1.2 seconds apart, in six ways and two versions of the format.
#
# Guess: h5py files of equal content are equal bytes, since `track_times` is off by default.
# Seen: so they are for contiguous, chunked and compressed data sets, groups and attributes.
#   `create_virtual_dataset` stores when it was called, and has no argument against it. The property
#   list of its layout has: `layout.dcpl.set_obj_track_times(False)` gives equal bytes. In files of
#   libver v110 and later so does a group that is made by the path of a data set, `file["g/x"] = …`;
#   one that `create_group` makes does not, nor does either in files of the earliest version.
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
    without = layout()
    without.dcpl.set_obj_track_times(False)
    file.create_virtual_dataset("x", without)


def group_by_a_path(file):
    file["g/x"] = VALUES


def written(way, name, **version):
    with h5py.File(name, "w", **version) as file:
        way(file)
    return Path(name).read_bytes()


ways = [plain, chunked, group_and_attributes, group_by_a_path, virtual, virtual_without_time]
versions = [{}, {"libver": ("v110", "v110")}]
runs = [(way, version) for version in versions for way in ways]
first = [written(way, "file.h5", **version) for way, version in runs]
time.sleep(1.2)
second = [written(way, "file.h5", **version) for way, version in runs]
equal = [one == other for one, other in zip(first, second)]
for (way, version), same in zip(runs, equal):
    print(f"{way.__name__} {version}: {'equal' if same else 'different'} bytes")
print(h5py.version.hdf5_version)
assert equal == [True, True, True, True, False, True] + [True, True, True, False, False, True]
PYTHON
cd "$folder"
venv/bin/python written_twice.py
