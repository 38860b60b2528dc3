"""Seals: a file says what it is, where it belongs and what its content was when it was written.

A seal is `kind` (the format with its version), `place` (the path below the study's results, so that
a moved study stays valid) and `digest` (of the content in canonical order). Whoever opens a file
through this module has one that is what the path says, unchanged, or a UserError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from visae.base.errors import UserError
from visae.base.files import atomic_path, write_json
from visae.base.paths import place_of
from visae.base.reading import CURE, read_json, unreadable

SEAL = "seal"
LIBVER = ("v110", "v110")
"""HDF5's version of a file: from this one on the library checks its own metadata by checksum."""


def seal_hdf5(file: h5py.File, path: str | Path, kind: str) -> None:
    """Seal an HDF5 file that is complete and still open for writing; `path`: its final path.

    Data sets with `fletcher32` are left to HDF5, which checks each chunk when it is read.
    """
    seal = {"kind": kind, "place": place_of(path), "digest": _of_hdf5(file)}
    file.attrs[SEAL] = np.bytes_(json.dumps(seal).encode())


def open_hdf5(path: str | Path, kind: str) -> h5py.File:
    """The HDF5 file at `path`, open for reading and checked.

    Raises UserError when it is missing, damaged, of another kind or of another place.
    """
    path = Path(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise unreadable(path, error, "HDF5", CURE) from error
    try:
        _check(path, kind, _sealed(file), lambda: _of_hdf5(file))
    except UserError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise _damaged(path, error) from error
    return file


def write_npz(path: str | Path, kind: str, arrays: Mapping[str, Any]) -> None:
    """Write `arrays` (name -> array, number or string) and their seal to an `.npz`, no pickle."""
    values = {name: np.asarray(value) for name, value in arrays.items()}
    seal = {"kind": kind, "place": place_of(path), "digest": _of_arrays(values)}
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, **values, **{SEAL: np.array(json.dumps(seal))})


def read_npz(path: str | Path, kind: str) -> dict[str, np.ndarray]:
    """The arrays that `write_npz` wrote.

    Raises UserError when the file is missing, damaged, of another kind or of another place.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        seal = json.loads(str(arrays.pop(SEAL, "{}")))
        _check(path, kind, seal, lambda: _of_arrays(arrays))
    except UserError:
        raise
    except OSError as error:
        raise unreadable(path, error, "npz", CURE) from error
    except Exception as error:
        raise _damaged(path, error) from error
    return arrays


def write_document(path: str | Path, kind: str, document: Mapping[str, Any]) -> None:
    """Write `document` (a mapping of JSON values) and its seal to a JSON file."""
    seal = {"kind": kind, "place": place_of(path), "digest": _of_document(document)}
    write_json(path, {**document, SEAL: seal})


def read_document(path: str | Path, kind: str) -> dict[str, Any]:
    """The mapping that `write_document` wrote.

    Raises UserError when the file is missing, damaged, of another kind or of another place.
    """
    document = read_json(path)
    seal = document.pop(SEAL, {}) if isinstance(document, dict) else {}
    _check(path, kind, seal, lambda: _of_document(document))
    return document


def _check(path, kind, seal, digest):
    """UserError unless `seal` is one of `kind`, of the place of `path` and with this digest."""
    if not isinstance(seal, dict):
        raise UserError(f"{path} is damaged (its seal is {seal!r:.60}): {CURE}")
    if seal.get("kind") != kind:
        raise UserError(
            f"{path} is of format {seal.get('kind')!r}, but {kind!r} is read here: {CURE}"
        )
    if seal.get("place") != place_of(path):
        raise UserError(
            f"{path} is a copy of {seal.get('place')!r}, which belongs elsewhere: {CURE}"
        )
    if seal.get("digest") != digest():
        raise UserError(f"{path} has changed since it was written: {CURE}")


def _damaged(path, error):
    return UserError(f"{path} is damaged ({type(error).__name__}: {error}): {CURE}")


def _sealed(file):
    # The type is looked at before any value: a damaged string of variable length can keep HDF5
    # busy without end.
    if SEAL not in file.attrs or file.attrs.get_id(SEAL).dtype.kind != "S":
        return {}
    return json.loads(bytes(file.attrs[SEAL]))


def _of_hdf5(file):
    """Digest of names, types, shapes, attributes and values; of `fletcher32` ones no values."""
    digest = hashlib.sha256()

    def add(name, item):
        for key in sorted(item.attrs):
            if (name, key) != ("", SEAL):
                kind = item.attrs.get_id(key).dtype
                _refuse_objects(kind, f"{name}@{key}")
                _add(digest, f"{name}@{key}", np.asarray(item.attrs[key], kind))
        if isinstance(item, h5py.Dataset):
            _refuse_objects(item.dtype, name)
            if item.fletcher32:
                digest.update(f"{name} {item.dtype.str} {item.shape} fletcher32\n".encode())
            else:
                _add(digest, name, np.asarray(item[()]))
        elif isinstance(item, h5py.Group):
            digest.update(f"{name}/\n".encode())
            for child in sorted(item):
                add(f"{name}/{child}", item[child])

    add("", file)
    return digest.hexdigest()


def _refuse_objects(dtype, name):
    if dtype.kind == "O":
        raise ValueError(f"{name} holds strings of variable length, which no format of ours has")


def _of_document(document):
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _of_arrays(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        _add(digest, name, arrays[name])
    return digest.hexdigest()


def _add(digest, name, array):
    if array.dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
