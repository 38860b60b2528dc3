"""Pooled codes in an open HDF5 file, as reductions hold them."""

import numpy as np

from visae.base.declared import Array
from visae.base.sparse_hdf5 import SparseDataset, SparseWriter

CODES = Array("float16", "F N", apart=True, sparse=True)


def stored(file, codes_fn, chunks=(16, 1024)):
    """The matrix `codes_fn` (float16 [F, N]), written to an open file and opened there."""
    chunks = tuple(map(min, chunks, codes_fn.shape))
    writer = SparseWriter(file, "codes_max", codes_fn.shape, codes_fn.dtype, chunks)
    for start in range(0, codes_fn.shape[1], chunks[1]):
        writer.write((0, start), np.ascontiguousarray(codes_fn[:, start : start + chunks[1]]))
    writer.finish()
    return SparseDataset(file, "codes_max", CODES)
