"""Content hashes: of files, arrays, and of the code that a script runs."""

import functools
import hashlib
import json
from pathlib import Path

from visae.base import syntax
from visae.base.repository import SCRIPTS
from visae.base.shelf import deciding


def of_bytes(*parts):
    """SHA-256 of some byte strings, first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def of_file(path):
    """SHA-256 of a file's content, first 16 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def of_tensors(named_tensors):
    """Hash of (name, tensor) pairs: names, shapes, types and values, in order of name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(named_tensors, key=lambda pair: pair[0]):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def of_code(script):
    """Hash of `workflow_scripts/{script}.py` and of every `visae` module it imports, transitively.

    Snakemake does not see a change in an imported module and does see a mere `touch`; this
    value, passed as a rule's parameter, makes it rerun exactly when the code differs.
    """
    return of_modules(SCRIPTS / f"{script}.py")


def of_entry(shelf, name):
    """Hash of the entry `name` of a shelf: of what it says and runs, where that decides results.

    That is what its `ENTRY` says but for fields that are `aside` (`visae.base.shelf`), its modules
    with all they import, and its JSON files. An entry is loaded by name, which no other hash sees:
    a rule that has one loaded passes this value beside its script's. The entry may lie outside of
    the repository.
    """
    files = shelf.files(name)
    modules = [path for path in files if path.suffix == ".py" and path.name != "entry.py"]
    others = [path for path in files if path.suffix != ".py"]
    return of_bytes(
        json.dumps(deciding(shelf[name]), sort_keys=True).encode(),
        of_modules(*modules).encode(),
        *(part for path in others for part in (path.name.encode(), path.read_bytes())),
    )


def of_modules(*paths):
    """Hash of Python files and of the `visae` modules they import, transitively: of what is said.

    Comments, docstrings and blank lines are no part of it (`visae.base.syntax`), nor is the folder
    in which the library lies.
    """
    seen, waiting = {}, [Path(path).resolve() for path in paths]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen[path], imported = _module(path)
            waiting += imported
    return of_bytes(*sorted(seen.values()))


@functools.cache
def _module(path):
    """(name and digest of a Python file, the files of the `visae` modules that it imports).

    Asked once: the scripts of the workflow have most of their modules in common.
    """
    digest, imported = syntax.read(path)
    # Of a file outside of the library the name alone: where it lies is no part of what it says.
    inside = path.is_relative_to(SCRIPTS)
    name = path.relative_to(SCRIPTS).as_posix() if inside else path.name
    return f"{name} {digest}\n".encode(), {file for name in imported for file in _files(name)}


@functools.cache
def _files(name):
    """The files of the module that a dotted `name` means, and of the packages around it.

    Python runs those first. A name may be that of a function: only files that exist are taken.
    """
    package, _, _ = name.rpartition(".")
    base = SCRIPTS.joinpath(*name.split("."))
    own = [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return own + (_files(package) if package else [])
