"""What HDF5 files hold, with its types: whole data sets, strings, attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from visae.base.errors import UserError

STRING = h5py.string_dtype("utf-8")


def write_strings(file: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Write `values` as UTF-8 of one length in bytes, that of the longest."""
    encoded = [value.encode() for value in values]
    length = max(map(len, encoded), default=0) or 1
    kind = h5py.string_dtype("utf-8", length)
    file.create_dataset(name, data=np.array(encoded, dtype=kind))


def write_attributes(file: h5py.Group, values: Mapping[str, Any]) -> None:
    """Write attributes; strings as UTF-8 of their own length."""
    for name, value in values.items():
        file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value


def text(value: bytes | str) -> str:
    """A string that is the value of an attribute."""
    return value.decode() if isinstance(value, bytes) else str(value)


def dataset(file: h5py.Group, name: str) -> h5py.Dataset:
    """The data set `name`, to be read in parts; KeyError if there is none."""
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{name} is no data set")
    return found


def array(file: h5py.Group, name: str) -> np.ndarray:
    """All values of the data set `name`, of the type and shape that they have in the file."""
    return part(dataset(file, name), slice(None))


def part(data: h5py.Dataset | np.ndarray, selection: Any) -> np.ndarray:
    """`data[selection]`; UserError where HDF5 finds that a chunk has changed."""
    try:
        return data[selection]
    except OSError as error:
        assert isinstance(data, h5py.Dataset)  # an array in memory raises none
        raise UserError(
            f"{data.name} of {data.file.filename} cannot be read ({error}): remove that file and "
            "run the workflow again"
        ) from error


def number(file: h5py.Group, name: str) -> float:
    """The value of the data set `name`, which has no axes."""
    return float(dataset(file, name)[()])


def strings(file: h5py.Group, name: str) -> list[str]:
    """The values of the data set `name` of `STRING`."""
    return [value.decode() for value in array(file, name)]


def attributes(file: h5py.Group) -> Mapping[str, Any]:
    """The attributes of a file, each of the type that its format says."""
    return file.attrs
