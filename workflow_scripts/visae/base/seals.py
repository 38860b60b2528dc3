"""Seals: a file says what it is, where it belongs, what it was made of and what it held.

A seal is a mapping:

- `kind`: the format with its version;
- `place`: the path below the study's results, so that a moved study stays valid;
- `made_of`: place → digest of each file that this one was made of, and of the images, weights,
  activations and SAEs (`visae.base.paths.ROOTS`) that those were made of;
- `content`: digest of the content in canonical order, and `beside`: of texts that belong to it;
- `digest`: of all of this.

Whoever opens a file through this module has one that is what the path says, unchanged, and made of
what lies in the study now, or a UserError. Of the files that it was made of only the seals are
read; those that are no longer there are not missed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visae.base.errors import UserError
from visae.base.files import atomic_path, write_json, write_text
from visae.base.fingerprints import of_tensors
from visae.base.paths import ROOTS, SAE_FILES, WEIGHTS, home_of
from visae.base.reading import CURE, guarded, parse_json, read_json

# NumPy, h5py and safetensors are imported where they are needed: the Snakefile reads sealed files.
if TYPE_CHECKING:
    import h5py
    import numpy as np
    import torch

SEAL = "seal"
LIBVER = ("v110", "v110")
"""HDF5's version of a file: from this one on the library checks its own metadata by checksum."""
CHECKSUMS = "_crc32"
"""Ending of the data set that holds the checksums of another one's chunks (`visae.base.hdf5`)."""


# ---------------------------------------------------------------- what a file was made of


def made_of(path: str | Path, inputs: Iterable[str | Path]) -> dict[str, str]:
    """The `made_of` of a file that is written to `path` from `inputs`.

    Inputs that lie in no study are left out. Raises UserError where an input has no seal, or two
    were made of different files of one name.
    """
    home, _ = home_of(path)
    if home is None:
        return {}
    found: dict[str, tuple[str, str | Path]] = {}
    for file in map(_sealed_in, inputs):
        root, place = home_of(file)
        said: dict[str, str] = {}
        if root is None:
            continue
        if root == home:
            seal = recorded(file)
            said = {place: seal["digest"]}
            said |= {p: d for p, d in seal["made_of"].items() if p.split("/")[0] in ROOTS}
        else:  # another study's, or a person's that only looks like one
            with contextlib.suppress(UserError):
                said = {os.path.relpath(file, home): recorded(file)["digest"]}
        for name, digest in said.items():
            known, other = found.setdefault(name, (digest, file))
            if known != digest:
                raise UserError(
                    f"{file} and {other} were made of different files {name}: remove the one that "
                    "is out of date and run the workflow again"
                )
    return {name: digest for name, (digest, _) in sorted(found.items())}


def _sealed_in(path):
    """The file that has the seal of `path`: of the texts of an SAE, its weights."""
    path, (_, place) = Path(path), home_of(path)
    of_sae = place.startswith("saes/") and path.name in SAE_FILES
    return path.with_name(WEIGHTS) if of_sae else path


def recorded(path: str | Path) -> dict[str, Any]:
    """The seal of the file at `path`, as it stands there: its content is not read.

    Of a text beside an SAE's weights it is theirs. Raises UserError when it is missing or has none
    that can be read.
    """
    if os.path.basename(path) in SAE_FILES and not beside(path).exists():
        weights = Path(path).with_name(WEIGHTS)
        path = weights if weights.exists() else path
    with guarded(path, "a sealed file") as facts:
        # Most files of a job were made of the same ones.
        return _recorded(os.fspath(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)


@functools.cache
def _recorded(path, *_facts):
    path = Path(path)
    match path.suffix:
        case ".h5":
            with plain_hdf5(path) as file:
                found = _sealed(file)
        case ".npz":
            import numpy as np

            with np.load(path, allow_pickle=False) as file:
                found = parse_json(str(file[SEAL])) if SEAL in file.files else {}
        case ".safetensors":
            import safetensors

            with safetensors.safe_open(path, "np") as file:
                found = parse_json((file.metadata() or {}).get(SEAL, "{}"))
        case ".json":
            found = dict(read_json(path)).get(SEAL, {})
        case _:
            found = read_json(beside(path))
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path} has no seal, so it is damaged or of an old format: {CURE}")
    if found.get("digest") != _of_seal(found):
        raise UserError(f"{path} has a seal that has changed since it was written: {CURE}")
    return found


def sealed(
    path: str | Path, kind: str, content: str, made_of: Mapping[str, str] | None, **further: Any
) -> dict[str, Any]:
    """The seal of a file of `kind` that is written to `path`; content: its digest."""
    _, place = home_of(path)
    seal = {"kind": kind, "place": place, "made_of": dict(made_of or {}), "content": content}
    seal |= further
    return seal | {"digest": _of_seal(seal)}


def _of_seal(seal):
    return _of_document({name: value for name, value in seal.items() if name != "digest"})[:32]


def check(
    path: str | Path,
    kind: str,
    seal: Any,
    content: Callable[[], str],
    anywhere: bool = False,
    cure: str = CURE,
) -> None:
    """UserError unless `seal` is one of `kind`, of the place of `path` and of this content.

    content: a function that gives its digest. anywhere: outside of a study any place will do.
    """
    home, place = home_of(path)
    if not isinstance(seal, dict):
        raise UserError(f"{path} is damaged (its seal is {seal!r:.60}): {cure}")
    if seal.get("kind") != kind:
        raise UserError(
            f"{path} is of format {seal.get('kind')!r}, but {kind!r} is read here: {cure}"
        )
    if seal.get("place") != place and not (anywhere and home is None):
        raise UserError(
            f"{path} is a copy of {seal.get('place')!r}, which belongs elsewhere: {cure}"
        )
    if seal.get("digest") != _of_seal(seal) or seal.get("content") != content():
        raise UserError(f"{path} has changed since it was written: {cure}")
    if home is None:
        return
    for name, digest in seal["made_of"].items():
        file = os.path.join(home, name)
        if _is_there(file) and recorded(file)["digest"] != digest:
            raise UserError(f"{path} was made of another {file} than lies there now: {cure}")


def _is_there(path):
    """Whether anything lies at `path`; OSError where that cannot be told."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


# ---------------------------------------------------------------- HDF5


def seal_hdf5(
    file: h5py.File,
    path: str | Path,
    kind: str,
    made_of: Mapping[str, str] | None = None,
    apart: Collection[str] = (),
) -> None:
    """Seal an HDF5 file that is complete and still open for writing; `path`: its final path.

    apart: data sets whose values the format checks by checksums of its own. So are those of
    `hdf5.Checked`, whose checksums are sealed in their place.
    """
    import numpy as np

    seal = sealed(path, kind, _of_hdf5(file, apart), made_of)
    file.attrs[SEAL] = np.bytes_(json.dumps(seal).encode())


def open_hdf5(path: str | Path, kind: str, apart: Collection[str] = ()) -> h5py.File:
    """The HDF5 file at `path`, open for reading and checked; apart: as for `seal_hdf5`.

    Raises UserError when it is missing, damaged, of another kind or place, or made of other files.
    """
    path = Path(path)
    file = plain_hdf5(path)
    try:
        with guarded(path, "HDF5"):
            check(path, kind, _sealed(file), lambda: _once(file, path, apart))
    except BaseException:
        file.close()
        raise
    return file


def plain_hdf5(path: str | Path) -> h5py.File:
    """The HDF5 file at `path`, open for reading and not checked; UserError if it is none.

    One whose version has no checksums of its own metadata is refused before HDF5 sees it: damaged
    metadata can keep the library busy without end.
    """
    import h5py

    with guarded(path, "HDF5"):
        with open(path, "rb") as file:
            head = file.read(9)
        if head[:8] == b"\x89HDF\r\n\x1a\n" and head[8:] < b"\2":
            raise ValueError("it is of an old version, without checksums")
        return h5py.File(path, "r")


def _sealed(file):
    from visae.base.hdf5_digest import read_seal

    said = read_seal(file)
    return {} if said is None else parse_json(said)


_SETTLED = 2e9
"""Nanoseconds after which a changed file has another time of change on every file system."""
_digests: dict[tuple, str] = {}


def _once(file, path, apart):
    """The digest of an HDF5 file that is read; computed once while it stands there unchanged.

    The evals of a job open the same reductions one after the other.
    """
    facts = path.stat()
    changed = facts.st_mtime_ns, facts.st_ctime_ns
    key = path, tuple(apart), facts.st_dev, facts.st_ino, facts.st_size, *changed
    if key not in _digests:
        digest = _of_hdf5(file, apart, facts.st_size)
        if time.time_ns() - max(changed) < _SETTLED:
            return digest
        _digests[key] = digest
    return _digests[key]


def _of_hdf5(file, apart, size=None):
    from visae.base.hdf5_digest import digest_of

    return digest_of(file, apart, size)


# ---------------------------------------------------------------- npz


def write_npz(
    path: str | Path,
    kind: str,
    arrays: Mapping[str, Any],
    made_of: Mapping[str, str] | None = None,
) -> None:
    """Write `arrays` (name -> array, number or string) and their seal to an `.npz`, no pickle."""
    import numpy as np

    values = {name: np.asarray(value) for name, value in arrays.items()}
    seal = sealed(path, kind, _of_arrays(values), made_of)
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, **values, **{SEAL: np.array(json.dumps(seal))})


def read_npz(path: str | Path, kind: str) -> dict[str, np.ndarray]:
    """The arrays that `write_npz` wrote.

    Raises UserError when the file is missing, damaged, of another kind or place, or made of others.
    """
    import numpy as np

    path = Path(path)
    with guarded(path, "npz"):
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        seal = parse_json(str(arrays.pop(SEAL, "{}")))
        check(path, kind, seal, lambda: _of_arrays(arrays))
    return arrays


def _of_arrays(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        add_array(digest, name, arrays[name])
    return digest.hexdigest()


def add_array(digest: hashlib._Hash, name: str, array: np.ndarray) -> None:
    """Add name, type, shape and values of an array to a digest; ValueError for Python objects."""
    if array.dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
    digest.update(array.tobytes())


# ---------------------------------------------------------------- safetensors


def write_tensors(
    path: str | Path,
    kind: str,
    tensors: Mapping[str, torch.Tensor],
    made_of: Mapping[str, str] | None = None,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write `tensors` and their seal as safetensors; beside: name → text that belongs to them.

    The texts are written before, to the same folder.
    """
    import safetensors.torch

    texts = dict(beside or {})
    for name, text in texts.items():
        write_text(Path(path).with_name(name), text)
    digests = {name: _of_bytes(text.encode()) for name, text in texts.items()}
    seal = sealed(path, kind, of_tensors(tensors.items()), made_of, beside=digests)
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(dict(tensors), temporary, {SEAL: json.dumps(seal)})


def read_tensors(
    path: str | Path, kind: str, anywhere: bool = False, cure: str = CURE
) -> dict[str, torch.Tensor]:
    """The tensors that `write_tensors` wrote; anywhere: see `check`.

    Raises UserError when the file is missing, damaged, of another kind or place, or made of others.
    """
    import safetensors

    with guarded(path, "a safetensors file", cure):
        with safetensors.safe_open(path, "pt") as file:
            seal = parse_json((file.metadata() or {}).get(SEAL, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        check(path, kind, seal, lambda: of_tensors(tensors.items()), anywhere, cure)
    return tensors


def read_text_of(path: str | Path, name: str, cure: str = CURE) -> str:
    """The text called `name` that was written beside the tensors at `path`.

    Raises UserError when it is missing, or is not what was written with them.
    """
    text = Path(path).with_name(name)
    with guarded(text, "a text", cure):
        content = text.read_bytes()
    if recorded(path).get("beside", {}).get(name) != _of_bytes(content):
        raise UserError(
            f"{text} and {Path(path).name} beside it are not what was written together, since one "
            f"has changed or they are of different ones: {cure}"
        )
    return content.decode()


# ---------------------------------------------------------------- JSON


def write_document(
    path: str | Path,
    kind: str,
    document: Mapping[str, Any],
    made_of: Mapping[str, str] | None = None,
    arrays: str | Path | None = None,
) -> None:
    """Write `document` (a mapping of JSON values) and its seal to a JSON file.

    arrays: the path of a sealed file that belongs to it.
    """
    beside = {"beside": {Path(arrays).name: recorded(arrays)["digest"]}} if arrays else {}
    seal = sealed(path, kind, _of_document(document), made_of, **beside)
    write_json(path, {**document, SEAL: seal})


def read_document(path: str | Path, kind: str) -> dict[str, Any]:
    """The mapping that `write_document` wrote.

    Raises UserError when the file is missing, damaged, of another kind or place, or made of others.
    """
    document = read_json(path)
    seal = document.pop(SEAL, {}) if isinstance(document, dict) else {}
    with guarded(path, "JSON"):
        check(path, kind, seal, lambda: _of_document(document))
    return document


def check_belongs(path: str | Path, document: str | Path) -> None:
    """UserError unless the sealed file at `path` is the one that `document` was written with."""
    if recorded(document).get("beside", {}).get(Path(path).name) != recorded(path)["digest"]:
        raise UserError(
            f"{path} and {Path(document).name} beside it were not written together: remove both "
            "and run the workflow again"
        )


def _of_document(document):
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- files of any other form


def beside(path: str | Path) -> Path:
    """Where the seal of a file lies that has no room for one: `scores.csv.seal`."""
    path = Path(path)
    return path.with_name(f"{path.name}.seal")


def write_beside(
    path: str | Path,
    kind: str,
    content: bytes | str,
    made_of: Mapping[str, str] | None = None,
) -> None:
    """Write `content` (text as UTF-8) to `path`, and its seal beside it."""
    content = content.encode() if isinstance(content, str) else content
    # First, so that a file that is there has its own.
    write_json(beside(path), sealed(path, kind, _of_bytes(content), made_of))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_beside(path: str | Path, kind: str, cure: str = CURE) -> bytes:
    """The bytes that `write_beside` wrote.

    Raises UserError when the file or its seal is missing or damaged, of another kind or place, or
    made of others.
    """
    path = Path(path)
    with guarded(path, "a sealed file", cure):
        content = path.read_bytes()
        if not beside(path).exists():
            raise UserError(f"{path} has no seal beside it ({beside(path).name}): {cure}")
        check(path, kind, read_json(beside(path), cure), lambda: _of_bytes(content), cure=cure)
    return content


def read_text_beside(path: str | Path, kind: str, cure: str = CURE) -> str:
    """As `read_beside`, as text."""
    with guarded(path, "text", cure):
        return read_beside(path, kind, cure).decode()


def _of_bytes(content):
    return hashlib.sha256(content).hexdigest()
