"""The digest of an HDF5 file: names, types, shapes, attributes and values, in order of name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection

import h5py

from visae.base import hdf5
from visae.base.seals import CHECKSUMS, SEAL, add_array


def digest_of(file: h5py.File, apart: Collection[str], size: int | None) -> str:
    """SHA-256 of all that an open HDF5 file holds but its seal, attributes included.

    apart: data sets whose values are left out. So are those with checksums beside them. size: bytes
    of a file that is read. Raises ValueError for what no format of ours has
    (`hdf5.shape_and_type`), and for more values than the file has bytes.
    """
    digest = hashlib.sha256()
    _add(digest, hdf5.opened(file.id, "/"), "", apart, size, summed=False)
    return digest.hexdigest()


def read_seal(file: h5py.File) -> str | None:
    """The text of the seal in an open HDF5 file; None if there is none of fixed length."""
    if not h5py.h5a.exists(file.id, SEAL.encode()):
        return None
    # The type is looked at before any value: a damaged string of variable length can keep HDF5
    # busy without end.
    opened = h5py.h5a.open(file.id, SEAL.encode())
    return bytes(hdf5.values_of(opened, SEAL)[()]).decode() if opened.dtype.kind == "S" else None


def _add(digest, item, name, apart, size, summed):
    """Add an object called `name`, and all below it. summed: whether it has checksums beside it."""
    for key in hdf5.attribute_names(item):
        if (name, key) != ("", SEAL):
            add_array(digest, f"{name}@{key}", hdf5.attribute_of(item, key))
    if isinstance(item, h5py.h5d.DatasetID):
        _add_dataset(digest, item, name, size, summed)
    elif isinstance(item, h5py.h5g.GroupID):
        _add_group(digest, item, name, apart, size)


def _add_group(digest, item, name, apart, size):
    digest.update(f"{name}/\n".encode())
    children = hdf5.in_order(item.links.iterate)
    known = set(children)
    for child in children:
        inside = f"{name}/{child}"
        if inside[1:] in apart:
            # Not opened: HDF5 keeps the parts of a virtual data set without a checksum, and damaged
            # ones can keep it busy without end.
            digest.update(f"{inside} apart\n".encode())
        else:
            summed = f"{child}{CHECKSUMS}" in known
            _add(digest, hdf5.opened(item, child), inside, apart, size, summed)


def _add_dataset(digest, item, name, size, summed):
    shape, kind = hdf5.shape_and_type(item, name)
    # No format of ours is compressed: what is larger than its file is not there.
    if size is not None and math.prod(shape) * kind.itemsize > size:
        raise ValueError(f"{name} of shape {shape} is larger than the file")
    if summed:
        layout = item.get_create_plist()
        chunks = layout.get_chunk() if layout.get_layout() == h5py.h5d.CHUNKED else None
        digest.update(f"{name} {kind.str} {shape} {chunks} apart\n".encode())
    else:
        add_array(digest, name, hdf5.values_of(item, name))
