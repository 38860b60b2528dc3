"""What a Python file says: a digest of its syntax tree, and the `visae` modules that it imports.

Comments, docstrings, blank lines and line breaks are no part of it, nor is the `ENTRY` of a shelf:
what that says is hashed by `visae.base.fingerprints.of_entry`. Parsing the whole library takes a
second, and every job of a cluster asks: what was read of a file is kept in `.snakemake/` of the
working directory, by the file's place in the library, size and time of change. A copy of a
study, with its times, takes that along.
"""

import ast
import atexit
import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path

from visae.base.errors import UserError
from visae.base.files import atomic_path
from visae.base.repository import SCRIPTS

CACHE = Path(".snakemake/syntax.json")

_SETTLED = 2e9
"""Nanoseconds after which a changed file has another time of change on every file system."""

_LIBRARY = os.path.join(SCRIPTS, "")

_EMPTY = (None, [])

_known = None


def read(path):
    """(digest, imported) of the Python file at `path`: hexadecimal, and sorted dotted names.

    imported: whatever an import may mean, `visae.a` and `visae.a.b` for `from visae.a import b`, at
    any depth of the code.
    """
    status = os.stat(path)
    whole = os.path.abspath(path)
    key, stamp = whole.removeprefix(_LIBRARY), [status.st_size, status.st_mtime_ns]
    known = _cache()
    if known.get(key, {}).get("stamp") != stamp:
        tree = ast.parse(Path(path).read_bytes(), filename=whole)
        known[key] = {
            "stamp": stamp,
            "digest": hashlib.sha256(repr(_said(tree)).encode()).hexdigest(),
            "imported": sorted(_imported(tree)),
        }
    return known[key]["digest"], known[key]["imported"]


def _said(node):
    """A syntax tree as nested tuples, without docstrings, entries and positions.

    What is empty is left out, so that fields which a new version of Python adds change nothing.
    """
    if isinstance(node, ast.AST):
        fields = [(name, _said(value)) for name, value in ast.iter_fields(node) if name != "kind"]
        return type(node).__name__, *((name, said) for name, said in fields if said not in _EMPTY)
    if isinstance(node, list):
        return [_said(item) for item in node if not (_is_docstring(item) or _is_entry(item))]
    return node


def _is_docstring(node):
    """Whether a statement is a string alone: of a module, a class, a function or an attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_entry(node):
    """Whether a statement is that of an entry of a shelf."""
    names = [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
    return names == ["ENTRY"]


def _imported(tree):
    """The dotted names below `visae` that a module may import."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return {name for name in names if name.split(".")[0] == "visae"}


def _cache():
    """File → what was read of it; begins with what earlier processes kept."""
    global _known
    if _known is None:
        try:
            check, _, kept = CACHE.read_text("utf-8").partition("\n")
            _known = json.loads(kept) if check == _check(kept) else {}
        except (OSError, ValueError):
            _known = {}
        atexit.register(_keep, _known, set(_stamps(_known)))
    return _known


def _keep(known, before):
    """Write the cache if more was read than `before`; nothing depends on whether that works."""
    settled = time.time_ns() - _SETTLED
    files = {path: entry for path, entry in known.items() if entry["stamp"][1] < settled}
    if set(_stamps(files)) <= before or not CACHE.parent.is_dir():
        return
    kept = json.dumps(files)
    with contextlib.suppress(OSError, UserError), atomic_path(CACHE) as temporary:
        temporary.write_text(f"{_check(kept)}\n{kept}", "utf-8")


def _stamps(files):
    return ((path, *entry["stamp"]) for path, entry in files.items())


def _check(kept):
    """Hash of the cache's content and of what decides how files are read: this file, Python."""
    parts = (Path(__file__).read_bytes(), sys.version.encode(), kept.encode())
    return hashlib.sha256(b"\n".join(parts)).hexdigest()
