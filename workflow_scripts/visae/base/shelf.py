"""A shelf: a package that lists what stands in it, so that nothing else need name it.

An entry is a module of the package, or a subpackage with a module `entry`; either has an `ENTRY`
that says all there is to say of it. Entries are light (no NumPy, no torch), since the Snakefile
imports them; what computes is imported by name, in the job that needs it. Folders outside the
package can be added (`extensions` in the config): what lies in them is listed beside its own.
"""

import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from visae.base.errors import UserError

ASIDE = {"aside": True}
"""Metadata of a field of an entry that decides no result: words, memory, what the plan counts."""


def deciding(said):
    """What an entry says that decides results, as JSON types: all but its `aside` fields."""
    if is_dataclass(said):
        decides = [each.name for each in fields(said) if not each.metadata.get("aside")]
        return {name: deciding(getattr(said, name)) for name in decides}
    if isinstance(said, Mapping):
        return {key: deciding(value) for key, value in said.items()}
    return [deciding(item) for item in said] if isinstance(said, list | tuple) else said


class Shelf:
    """The entries of a package, by name; iterates over their names.

    package: its dotted name. what: what an entry is, for messages ("metric").
    """

    def __init__(self, package, what):
        self.package, self.what = package, what
        self._folders = {}
        self._extensions = {}
        self._entries = {}

    def names(self):
        """Names of all entries: those of the package sorted, then those of extensions."""
        return [*sorted(self._own()), *self._extensions]

    def __iter__(self):
        return iter(self.names())

    def __contains__(self, name):
        return name in self._own() or name in self._extensions

    def __getitem__(self, name):
        """The `ENTRY` called `name`; UserError if there is none."""
        if name not in self._entries:
            module = self.module(name, "entry")
            if not hasattr(module, "ENTRY"):
                raise UserError(f"{module.__file__} has no ENTRY; add it")
            self._entries[name] = module.ENTRY
        return self._entries[name]

    def entries(self):
        """{name: entry}"""
        return {name: self[name] for name in self.names()}

    def module(self, name, part):
        """The module `part` of the entry `name`, or the entry's only module if it is one file.

        Raises UserError if there is no such entry or part.
        """
        path = self._path(name)
        dotted = f"{self.package}.{name}"
        if path.is_dir():
            if not (path / f"{part}.py").is_file():
                raise UserError(f"the {self.what} '{name}' lacks the module {path / part}.py")
            dotted += f".{part}"
        return importlib.import_module(dotted)

    def files(self, name):
        """The files of the entry `name`: Python and JSON."""
        base = self._path(name)
        return [base] if base.is_file() else sorted(p for p in base.rglob("*") if p.suffix in _READ)

    def extend(self, folder):
        """Add what lies in `folder`; UserError if it is none or holds a name that there is."""
        folder = Path(folder).expanduser().resolve()
        if not folder.is_dir():
            raise UserError(f"config: extensions names {str(folder)!r}, which is no folder")
        found = _listed(folder)
        for name, path in found.items():
            if name in self._own() or self._extensions.get(name, path) != path:
                raise UserError(
                    f"config: the extension {path} has the name of another {self.what}, "
                    f"'{name}'; rename it"
                )
        self._extensions |= found
        # Its modules are then modules of the package, and may import each other as such.
        searched = importlib.import_module(self.package).__path__
        if str(folder) not in searched:
            searched.append(str(folder))

    def is_extension(self, name):
        """Whether the entry `name` lies outside of the package."""
        return name in self._extensions

    def _path(self, name):
        found = self._own() | self._extensions
        if name not in found:
            close = difflib.get_close_matches(str(name), found, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise UserError(
                f"There is no {self.what} '{name}'{hint}: choose one of {', '.join(self.names())}."
            )
        return found[name]

    def _own(self):
        if not self._folders:
            spec = importlib.util.find_spec(self.package)
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError(f"{self.package} is no package with a file")
            self._folders = _listed(Path(spec.origin).parent)
        return self._folders


_READ = (".py", ".json")


def _listed(folder):
    """{name: module file or folder} of what has an ENTRY below `folder`."""
    modules = {p.stem: p for p in folder.glob("*.py") if "\nENTRY = " in p.read_text("utf-8")}
    packages = {p.parent.name: p.parent for p in folder.glob("*/entry.py")}
    return modules | packages
