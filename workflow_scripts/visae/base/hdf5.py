"""What HDF5 files hold, with its types: whole data sets, strings, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

STRING = h5py.string_dtype("utf-8")


def dataset(file: h5py.Group, name: str) -> h5py.Dataset:
    """The data set `name`, to be read in parts; KeyError if there is none."""
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{name} is no data set")
    return found


def array(file: h5py.Group, name: str) -> np.ndarray:
    """All values of the data set `name`, of the type and shape that they have in the file."""
    return dataset(file, name)[:]


def number(file: h5py.Group, name: str) -> float:
    """The value of the data set `name`, which has no axes."""
    return float(dataset(file, name)[()])


def strings(file: h5py.Group, name: str) -> list[str]:
    """The values of the data set `name` of `STRING`."""
    return [value.decode() for value in array(file, name)]


def attributes(file: h5py.Group) -> Mapping[str, Any]:
    """The attributes of a file, each of the type that its format says."""
    return file.attrs
