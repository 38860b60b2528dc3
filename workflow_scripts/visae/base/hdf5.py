"""What HDF5 files hold, with its types: whole data sets, strings, attributes.

A *checked* data set has a CRC-32 of each of its chunks in another one beside it, `{name}_crc32`.
The file's seal covers the checksums, and whoever reads a part of the values checks its chunks, and
that the values are what the format declares.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue] (compiled)

from visae.base.checksums import checksum
from visae.base.declared import Array, check_values
from visae.base.errors import UserError
from visae.base.seals import CHECKSUMS, CURE, SEAL


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


def dataset(file: h5py.Group, name: str, declared: Array | None = None) -> h5py.Dataset:
    """The data set `name`, to be read in parts.

    declared: what it holds, to which every part is held; such a data set is a checked one. Raises
    KeyError if there is none, ValueError for one without the checksums of its chunks.
    """
    found = plain_dataset(file, name)
    if declared is None and f"{name}{CHECKSUMS}" not in file:
        return found
    return CheckedDataset(found.id, declared)


def plain_dataset(file: h5py.Group, name: str) -> h5py.Dataset:
    """The data set `name`, whatever checks it; KeyError if there is none."""
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{name} is no data set")
    return found


def array(file: h5py.Group, name: str) -> np.ndarray:
    """All values of the data set `name`, of the type and shape that they have in the file."""
    item = opened(file.id, name)
    checked = f"{name}{CHECKSUMS}".encode() in file.id
    if checked or not isinstance(item, h5py.h5d.DatasetID):
        data = dataset(file, name)
        return np.asarray(part(data, slice(None) if data.shape else ()))
    try:
        return values_of(item, name)
    except OSError as error:
        raise unreadable(h5py.Dataset(item), error) from error


def part(data: h5py.Dataset | np.ndarray, selection: Any) -> np.ndarray:
    """`data[selection]`; UserError where it cannot be read, or a chunk has changed."""
    try:
        return data[selection]
    except OSError as error:
        assert isinstance(data, h5py.Dataset)  # an array in memory raises none
        raise unreadable(data, error) from error


class CheckedDataset(h5py.Dataset):
    """A checked data set, open for reading: each chunk that a selection touches is checked.

    declared: what it holds. Raises ValueError where there are no checksums of these chunks.
    """

    def __init__(self, bind: h5py.h5d.DatasetID, declared: Array | None = None):
        super().__init__(bind)
        name = f"{self.name}{CHECKSUMS}"
        if not self.chunks or name not in self.file:
            raise ValueError(f"{self.name} has no checksums of its chunks")
        self._sums, self._declared = array(self.file, name), declared
        if self._sums.shape != _counts(self.shape, self.chunks):
            raise ValueError(f"{name} is not of as many chunks as {self.name}")

    def __getitem__(self, selection: Any, new_dtype: Any = None) -> np.ndarray:
        """The values of a selection; UserError for a chunk that has changed.

        Slices in steps of 1 and single numbers read no more than their chunks, others all.
        """
        return selected(selection, self.shape, self._read)

    def _read(self, *slices):
        return _checked_part(self, self._sums, self._declared, slices)


def selected(selection: Any, shape: tuple[int, ...], read: Callable[..., np.ndarray]) -> np.ndarray:
    """`data[selection]` of data of some shape, of which `read` gives a slice of each axis.

    A selection that is not of slices in steps of 1 and of single numbers takes all of the data.
    """
    chosen = selection if isinstance(selection, tuple) else (selection,)
    plain = all(
        one.step in (None, 1) if isinstance(one, slice) else isinstance(one, _NUMBERS)
        for one in chosen
    )
    if not plain or len(chosen) > len(shape):
        return read(*[slice(None)] * len(shape))[selection]
    whole = [*chosen, *[slice(None)] * (len(shape) - len(chosen))]
    sizes = zip(whole, shape, strict=True)
    found = read(*[one if isinstance(one, slice) else _alone(one, size) for one, size in sizes])
    return found[tuple(slice(None) if isinstance(one, slice) else 0 for one in whole)]


_NUMBERS = (int, np.integer)


def _alone(number, size):
    """The slice with one value; IndexError where there is none."""
    place = range(size)[int(number)]
    return slice(place, place + 1)


class Checked:
    """Writes a checked data set, in blocks of whole chunks (the last ones of an axis are smaller).

    Memory: 4 bytes per chunk, until `finish` writes the checksums.
    """

    def __init__(
        self,
        file: h5py.Group,
        name: str,
        shape: tuple[int, ...],
        kind: Any,
        chunks: tuple[int, ...],
    ):
        self.data = file.create_dataset(name, shape, kind, chunks=chunks)
        self.shape, self.dtype = shape, self.data.dtype
        self._file, self._name = file, f"{name}{CHECKSUMS}"
        self._sums = np.zeros(_counts(shape, chunks), np.uint32)

    def write(self, start: Sequence[int], block: np.ndarray) -> None:
        """Write `block`, whose first value has the indices `start`, those of a chunk's first."""
        ends = [first + size for first, size in zip(start, block.shape, strict=True)]
        self.data[tuple(map(slice, start, ends))] = block
        for number, place in _chunks_of(self.data.chunks, start, block.shape):
            self._sums[number] = checksum(block[place])

    def finish(self) -> None:
        """Write the checksums."""
        self._file[self._name] = self._sums


def _counts(shape, chunks):
    """How many chunks there are on each axis."""
    return tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))


def _checked_part(data, sums, declared, chosen):
    bounds = [part.indices(size) for part, size in zip(chosen, data.shape, strict=True)]
    # Whole chunks are read in any case.
    whole = [
        (first // chunk * chunk, min(-(-max(stop, first) // chunk) * chunk, size))
        for (first, stop, _), chunk, size in zip(bounds, data.chunks, data.shape, strict=True)
    ]
    start = [first for first, _ in whole]
    block = h5py.Dataset.__getitem__(data, tuple(slice(*ends) for ends in whole))
    for number, place in _chunks_of(data.chunks, start, block.shape):
        if checksum(block[place]) != sums[number]:
            raise unreadable(data, f"its chunk {list(number)} has changed since it was written")
    if declared is not None:
        try:
            check_values(data.name.strip("/"), declared, block)
        except ValueError as error:
            raise unreadable(data, error) from error
    inside = [
        slice(begin - first, max(stop, begin) - first)
        for (begin, stop, _), first in zip(bounds, start, strict=True)
    ]
    return block[tuple(inside)]


def _chunks_of(chunks, start, shape) -> Iterator[tuple[tuple, tuple]]:
    """(number of a chunk, its place in a block of `shape` that begins at `start`)."""
    axes = [
        [((first + at) // chunk, slice(at, at + chunk)) for at in range(0, size, chunk)]
        for chunk, first, size in zip(chunks, start, shape, strict=True)
    ]
    for chosen in itertools.product(*axes):
        yield tuple(number for number, _ in chosen), tuple(place for _, place in chosen)


def unreadable(data: Any, what: object) -> UserError:
    """The UserError of data in an open file (`name`, `file`) that cannot be read, and why."""
    return UserError(f"{data.name} of {data.file.filename} cannot be read ({what}): {CURE}")


def number(file: h5py.Group, name: str) -> float:
    """The value of the data set `name`, which has no axes."""
    return float(dataset(file, name)[()])


def strings(file: h5py.Group, name: str) -> list[str]:
    """The values of the data set `name`, which `write_strings` wrote."""
    return [value.decode() for value in array(file, name)]


def attributes(file: h5py.Group) -> dict[str, Any]:
    """The attributes of a file but its seal, each of the type that its format says."""
    names = [name for name in attribute_names(file.id) if name != SEAL]
    return {name: attribute_of(file.id, name)[()] for name in names}


# ---------------------------------------------------------------- h5py's low-level objects
# What h5py makes of them takes three times as long as they do, in files as small as most.


def opened(group: h5py.h5g.GroupID, name: str) -> Any:
    """The low-level object `name` of a group; KeyError if there is none."""
    return h5o.open(group, name.encode())


def values_of(item: h5py.h5d.DatasetID | h5py.h5a.AttrID, name: str) -> np.ndarray:
    """All values of a data set or an attribute, as they lie in the file; name: for messages.

    Raises ValueError for what no format of ours has, see `shape_and_type`.
    """
    values = np.empty(*shape_and_type(item, name))
    if isinstance(item, h5py.h5a.AttrID):
        item.read(values)
    elif values.size:
        item.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values


def shape_and_type(
    item: h5py.h5d.DatasetID | h5py.h5a.AttrID, name: str
) -> tuple[tuple[int, ...], np.dtype]:
    """Those of a data set or an attribute; name: for messages.

    Raises ValueError for what no format of ours has: strings of variable length, which damage can
    turn into endless work before any is read, and a type without values.
    """
    shape, kind = item.shape, item.dtype
    if kind.hasobject:
        raise ValueError(f"{name} holds strings of variable length, which no format of ours has")
    if shape is None:
        raise ValueError(f"{name} has a type and no values, which nothing has in a format of ours")
    return shape, kind


def attribute_of(item: h5py.h5g.GroupID, name: str) -> np.ndarray:
    """The value of the attribute `name` of an object."""
    return values_of(h5py.h5a.open(item, name.encode()), f"attribute {name}")


def attribute_names(item: h5py.h5g.GroupID) -> list[str]:
    """The names of an object's attributes, in order."""
    if not h5py.h5a.get_num_attrs(item):
        return []
    return in_order(functools.partial(h5py.h5a.iterate, item))


def in_order(iterate: Callable[[Callable[[bytes], None]], object]) -> list[str]:
    """The names that an iteration hands to a function, in order.

    All are read first. A loop over h5py's own `items()` or `values()` that an exception ends keeps
    all other threads out of the library, as long as the exception is kept.
    """
    names: list[bytes] = []
    iterate(names.append)
    return sorted(name.decode() for name in names)
