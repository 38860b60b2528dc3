"""Content hashes: of files, arrays, and of the code that a script runs."""

import functools
import hashlib
import re
from pathlib import Path

from visae.base.repository import SCRIPTS

_NAME = re.compile(r"[\w.]+")
_IMPORTS = re.compile(
    r"^[ \t]*(?:from[ \t]+(visae[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|.*)|import[ \t]+(visae.*))",
    re.MULTILINE,
)


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


def of_metric(metric):
    """Hash of the module `visae/metrics/{metric}.py` and of what it imports."""
    return of_modules(SCRIPTS / "visae" / "evals" / metric / "compute.py")


def of_loader(loader):
    """Hash of the module `visae/backbones/{loader}_loader.py` and of what it imports."""
    return of_modules(SCRIPTS / "visae" / "backbones" / "loaders" / f"{loader}.py")


def of_modules(path):
    """Hash of the Python file at `path` and of the `visae` modules it imports, transitively."""
    seen, waiting = {}, [Path(path).resolve()]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen[module], imported = _module(module)
            waiting.extend(imported)
    return of_bytes(*(seen[module] for module in sorted(seen)))


@functools.cache
def _module(path):
    """(name and content of the file at `path`, the files of the `visae` modules that it imports).

    Read once: the scripts of the workflow have most of their modules in common.
    """
    content = path.read_bytes()
    imported = _imported_modules(content.decode("utf-8"))
    return str(path.relative_to(SCRIPTS)).encode() + content, imported


def _imported_modules(code):
    """The files of the `visae` modules that `code` imports, at any depth of it.

    Found by pattern, because every plan asks this of all modules, and parsing them takes several
    times as long. Whatever looks like an import counts; only files that exist are taken.
    """
    names = set()
    for module, imported, plain in _IMPORTS.findall(code):
        names.update([module] if module else _NAME.findall(plain))
        names.update(f"{module}.{name}" for name in _NAME.findall(imported))
    files = []
    for name in names:
        if name.split(".")[0] == "visae":
            base = SCRIPTS.joinpath(*name.split("."))
            files += [f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()]
    return files
