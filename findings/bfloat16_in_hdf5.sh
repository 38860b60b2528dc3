#!/usr/bin/env bash
# Versions: h5py 3.16.0 (HDF5 2.0.0), ml_dtypes 0.6.0, numpy 2.4.6, safetensors 0.8.0;
# Python 3.11 or newer.
#
# Data: four activations in bfloat16, as NumPy knows it through ml_dtypes.
#
# Guess: h5py refuses the dtype, or HDF5 2.0 stores its own bfloat16 and gives it back.
# Seen: the array is stored without a message as opaque bytes and comes back as dtype V2. The file
#   does not say that they are numbers: a cast of what comes back raises, a view as bfloat16 gives the
#   values. A data set that is declared float32 refuses to take the array.
#   safetensors gives bfloat16 back as bfloat16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  h5py==3.16.0 ml_dtypes==0.6.0 numpy==2.4.6 safetensors==0.8.0
FILE="$folder/x" "$folder/venv/bin/python" - <<'PYTHON'
import os

import h5py
import ml_dtypes
import numpy
import safetensors.numpy

print("h5py", h5py.__version__, "HDF5", h5py.version.hdf5_version)
values = numpy.array([1.0, 1.5, -2.0, 80000.0]).astype(ml_dtypes.bfloat16)
path = os.environ["FILE"]
with h5py.File(path, "w") as file:
    file["activations"] = values
    declared = file.create_dataset("declared", shape=4, dtype="f4")
    try:
        declared[...] = values
        taken = "taken"
    except Exception as error:
        taken = type(error).__name__
with h5py.File(path) as file:
    kind = type(file["activations"].id.get_type()).__name__
    back = file["activations"][:]
try:
    back.astype("f4")
    cast = "cast"
except Exception as error:
    cast = type(error).__name__
print("stored as", kind, "and read as", back.dtype, "; astype:", cast, "; into float32:", taken)
print("as a view:", back.view(ml_dtypes.bfloat16))
safetensors.numpy.save_file({"activations": values}, path)
kept = safetensors.numpy.load_file(path)["activations"]
print("safetensors:", kept.dtype)
assert kind == "TypeOpaqueID" and back.dtype == "V2"
assert (back.view(ml_dtypes.bfloat16) == values).all()
assert kept.dtype == ml_dtypes.bfloat16
assert (cast, taken) == ("ValueError", "OSError")
PYTHON
echo "as stated"
