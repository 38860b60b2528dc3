"""What a Python file says: a digest of its syntax tree, and the `visae` modules that it imports.

Comments, docstrings, blank lines and line breaks are no part of it, nor is the `ENTRY` of a shelf:
what that says is hashed by `visae.base.fingerprints.of_entry`. Parsing the whole library takes a
second, and every job of a cluster asks: what was read is kept in `.snakemake/` of the working
directory, by the hash of a file's bytes. A copy of a study takes that along.
"""

import ast
import atexit
import contextlib
import hashlib
import json
import sys
from pathlib import Path

from visae.base.errors import UserError
from visae.base.files import atomic_path

CACHE = Path(".snakemake/syntax.json")

LARGEST = 5000
"""Entries of it. Where there are more, those that a process did not ask for are dropped."""

_EMPTY = (None, [])

_known, _asked = None, set()


def read(path):
    """(digest, imported) of the Python file at `path`: hexadecimal, and sorted dotted names.

    imported: whatever an import may mean, `visae.a` and `visae.a.b` for `from visae.a import b`, at
    any depth of the code.
    """
    content, known = Path(path).read_bytes(), _cache()
    key = hashlib.sha256(content).hexdigest()
    _asked.add(key)
    if key not in known:
        tree = ast.parse(content, filename=str(path))
        said = hashlib.sha256(repr(_said(tree)).encode()).hexdigest()
        known[key] = said, sorted(_imported(tree))
    return tuple(known[key])


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
    """Hash of a file → what was read of it; begins with what earlier processes kept."""
    global _known
    if _known is None:
        try:
            check, _, kept = CACHE.read_text("utf-8").partition("\n")
            _known = json.loads(kept) if check == _check(kept) else {}
        except (OSError, ValueError):
            _known = {}
        atexit.register(_keep, _known, len(_known))
    return _known


def _keep(known, before):
    """Write the cache if entries are new; nothing depends on whether that works."""
    if len(known) <= before or not CACHE.parent.is_dir():
        return
    if len(known) > LARGEST:
        known = {key: said for key, said in known.items() if key in _asked}
    kept = json.dumps(known)
    with contextlib.suppress(OSError, UserError), atomic_path(CACHE) as temporary:
        temporary.write_text(f"{_check(kept)}\n{kept}", "utf-8")


def _check(kept):
    """Hash of the cache's content and of what decides how files are read: this file, Python."""
    parts = (Path(__file__).read_bytes(), sys.version.encode(), kept.encode())
    return hashlib.sha256(b"\n".join(parts)).hexdigest()
