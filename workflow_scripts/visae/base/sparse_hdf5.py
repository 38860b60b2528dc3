"""Matrices in HDF5 most of whose values are 0: a bit for each value, and those that are not 0.

A matrix [F, N] is cut into blocks of columns, and each block into groups of rows. In the file it is
a group of data sets:

- `bits`: uint8, for each block of c columns ceil(c / 8) bytes of each row; the lowest bit of a byte
  is its first column; a checked data set (`visae.base.hdf5`) whose chunks are the groups' blocks;
- `values`: those whose bit is set, block by block, row by row within a block;
- `values_crc32`: uint32 [blocks, groups], CRC-32 of the values of each group of rows;
- `ends`: int64 [blocks, groups], where the values of each group end.

Whoever reads it sees a matrix: what a selection of `SparseDataset` gives is dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import h5py
import numpy as np

from visae.base import hdf5
from visae.base.arrays import Num
from visae.base.checksums import checksum
from visae.base.compiled import njit
from visae.base.declared import Array, check_values
from visae.base.seals import CHECKSUMS

VALUES_CHUNK = 65_536
"""Values per HDF5 chunk of `values`, 128 kB of float16; fewer in a small matrix."""


class SparseWriter:
    """Writes a matrix, block by block of columns.

    chunks: (rows of a group, columns of a block). In memory are the values of a block, once more.
    """

    def __init__(
        self,
        file: h5py.Group,
        name: str,
        shape: tuple[int, int],
        kind: Any,
        chunks: tuple[int, int],
    ):
        self.shape, self.dtype = shape, np.dtype(kind)
        self._group, self._edges = file.create_group(name), _Edges(*shape, *chunks)
        self._group.attrs["shape"] = np.array(shape, np.int64)
        self._group.attrs["chunks"] = np.array(chunks, np.int64)
        width = self._edges.bytes[-1]
        self._bits = hdf5.Checked(
            self._group, "bits", (shape[0], width), np.uint8, (chunks[0], self._edges.bytes[1])
        )
        self._values = self._group.create_dataset(
            "values", (0,), self.dtype, chunks=(_values_chunk(*shape),), maxshape=(None,)
        )
        self._ends = np.zeros((self._edges.blocks, self._edges.groups), np.int64)
        self._sums = np.zeros(self._ends.shape, np.uint32)
        self._block = 0

    def write(self, start: Sequence[int], block: Num[np.ndarray, "F n"]) -> None:
        """Write the next block, whose first value has the indices `start`."""
        number, edges = self._block, self._edges
        first_column, columns = edges.columns[number], edges.columns[number + 1]
        if (*start, *block.shape) != (0, first_column, self.shape[0], columns - first_column):
            raise RuntimeError(f"block {number} is of shape {block.shape} at {list(start)}")
        unsigned = np.ascontiguousarray(block, self.dtype).view(_unsigned(self.dtype))
        bits = np.zeros((len(block), -(-block.shape[1] // 8)), np.uint8)
        found, row_ends = np.empty(block.size, unsigned.dtype), np.empty(len(block), np.int64)
        _compress(unsigned, bits, found, row_ends)
        values, first = found[: row_ends[-1]].view(self.dtype), len(self._values)
        self._values.resize((first + len(values),))
        self._values[first:] = values
        self._bits.write((0, edges.bytes[number]), bits)
        ends = row_ends[np.array(edges.rows[1:]) - 1]
        self._ends[number], self._sums[number] = first + ends, _checksums(values, ends)
        self._block += 1

    def finish(self) -> None:
        """Write the checksums."""
        if self._block != len(self._ends):
            raise RuntimeError(f"{self._block} blocks written of {len(self._ends)}")
        self._bits.finish()
        self._group["ends"] = self._ends
        self._group[f"values{CHECKSUMS}"] = self._sums


class SparseDataset:
    """A matrix that `SparseWriter` wrote, open for reading: what a selection touches is checked.

    shape, dtype, chunks: as of an h5py data set. declared: what it holds. Raises KeyError or
    ValueError where the group is no such matrix.
    """

    def __init__(self, file: h5py.Group, name: str, declared: Array):
        group = file[name]
        if not isinstance(group, h5py.Group):
            raise KeyError(f"{name} is no group")
        self.name, self.file, self._declared = str(group.name), file.file, declared
        self.shape, self.chunks = _pair(group, "shape"), _pair(group, "chunks")
        self._edges = _Edges(*self.shape, *self.chunks)
        self._bits = hdf5.dataset(group, "bits", Array("uint8", "F B", apart=True))
        self._values = hdf5.plain_dataset(group, "values")
        self._sums = hdf5.array(group, f"values{CHECKSUMS}")
        self._ends = hdf5.array(group, "ends")
        self.dtype = self._values.dtype
        self._check()

    def _check(self):
        """ValueError unless all parts are of one matrix."""
        edges, flat = self._edges, self._ends.reshape(-1)
        counts, bits = (edges.blocks, edges.groups), (self.shape[0], edges.bytes[-1])
        if (
            (self._bits.shape, self._bits.dtype) != (bits, np.uint8)
            or self._bits.chunks != (self.chunks[0], edges.bytes[1])
            or (self._ends.shape, self._ends.dtype) != (counts, np.int64)
            or (self._sums.shape, self._sums.dtype) != (counts, np.uint32)
            or self._values.shape != (flat[-1],)
            or (np.diff(flat, prepend=0) < 0).any()
        ):
            raise ValueError(f"{self.name} is not of a matrix of shape {self.shape}")

    def __getitem__(self, selection: Any) -> np.ndarray:
        """The values of a selection, dense; UserError for a part that has changed.

        Slices in steps of 1 and single numbers read no more than their chunks, others all.
        """
        return hdf5.selected(selection, self.shape, self._read)

    def _read(self, rows, columns):
        """The dense values of two slices."""
        first, last, _ = rows.indices(self.shape[0])
        start, stop, _ = columns.indices(self.shape[1])
        if last <= first or stop <= start:
            return np.zeros((max(0, last - first), max(0, stop - start)), self.dtype)
        edges, (height, width) = self._edges, self.chunks
        groups = range(first // height, -(-last // height))
        blocks = range(start // width, -(-stop // width))
        top, left, offset = (
            ends[part.start]
            for ends, part in ((edges.rows, groups), (edges.columns, blocks), (edges.bytes, blocks))
        )
        bottom, right = edges.rows[groups.stop], edges.columns[blocks.stop]
        bits = hdf5.part(self._bits, np.s_[top:bottom, offset : edges.bytes[blocks.stop]])
        bits = np.ascontiguousarray(bits)
        dense = np.zeros((bottom - top, right - left), self.dtype)
        unsigned = dense.view(_unsigned(self.dtype))
        for block in blocks:
            values = self._values_of(block, groups)
            at = edges.bytes[block] - offset, edges.bytes[block + 1] - offset
            to = edges.columns[block] - left, edges.columns[block + 1] - left
            if _expand(bits, *at, values.view(unsigned.dtype), unsigned, *to) != len(values):
                raise hdf5.unreadable(self, "its bits and its values are not of one matrix")
        return dense[first - top : last - top, start - left : stop - left]

    def _values_of(self, block, groups):
        """The values of some groups of a block, checked."""
        flat, at = self._ends.reshape(-1), block * self._ends.shape[1] + groups.start
        first = flat[at - 1] if at else 0
        ends = flat[at : at + len(groups)]
        values = hdf5.part(self._values, np.s_[first : ends[-1]])
        sums = self._sums[block, groups.start : groups.stop]
        if (wrong := _checksums(values, ends - first) != sums).any():
            group = groups[int(wrong.argmax())]
            raise hdf5.unreadable(
                self, f"its chunk {[group, block]} has changed since it was written"
            )
        try:
            check_values(self.name.strip("/"), self._declared, values)
        except ValueError as error:
            raise hdf5.unreadable(self, error) from error
        return values


class _Edges:
    """Where the rows of groups, the columns of blocks and their bytes start, and where they end."""

    def __init__(self, rows, columns, height, width):
        if not (0 < height <= rows and 0 < width <= columns):
            raise ValueError(f"parts of {height} × {width} of a matrix of {rows} × {columns}")
        self.rows = [*range(0, rows, height), rows]
        self.columns = [*range(0, columns, width), columns]
        sizes = [-(-(stop - start) // 8) for start, stop in pairwise(self.columns)]
        self.bytes = [0, *accumulate(sizes)]
        self.groups, self.blocks = len(self.rows) - 1, len(sizes)


def _values_chunk(rows, columns):
    return min(VALUES_CHUNK, max(1024, rows * columns // 64))


def _pair(group, name):
    """An attribute of two whole numbers."""
    found = np.asarray(group.attrs[name])
    if found.shape != (2,) or found.dtype != np.int64:
        raise ValueError(f"{name} is not two numbers")
    return int(found[0]), int(found[1])


def _unsigned(kind):
    """Numba has no float16, and 0 is what has no bit."""
    return np.dtype(f"u{kind.itemsize}")


def _checksums(values, ends):
    """uint32: of the values up to each of `ends`, from the one before."""
    starts = [0, *ends[:-1].tolist()]
    pairs = zip(starts, ends.tolist(), strict=True)
    return np.array([checksum(values[a:b]) for a, b in pairs], np.uint32)


@njit(nogil=True, cache=True)
def _compress(block, bits, values, row_ends):
    """Fill bits [F, bytes], which are 0, the values that have one, and where each row's end."""
    rows, columns = block.shape
    count = 0
    for row in range(rows):
        for column in range(columns):
            value = block[row, column]
            if value != 0:
                bits[row, column >> 3] |= np.uint8(1 << (column & 7))
                values[count] = value
                count += 1
        row_ends[row] = count


@njit(nogil=True, cache=True)
def _expand(bits, first, last, values, block, left, right):
    """Put values where the bytes first … last of `bits` have a bit, into zeros of `block`.

    left, right: its columns. Returns how many have been put there, −1 if they do not fit.
    """
    count = 0
    for row in range(len(bits)):
        for place in range(first, last):
            byte = bits[row, place]
            column = left + ((place - first) << 3)
            while byte:
                if byte & 1:
                    if count == len(values) or column >= right:
                        return -1
                    block[row, column] = values[count]
                    count += 1
                byte >>= 1
                column += 1
    return count
