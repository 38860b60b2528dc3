"""Annotated shapes and types are checked at every call while tests run.

`install` adds a finder to Python's import. A module of the packages that it names is loaded as
usual, and its annotated functions, methods and dataclasses are wrapped with jaxtyping and
beartype. (jaxtyping's own import hook would also wrap numba's kernels, which numba cannot
compile then.)
"""

import dataclasses
import importlib.machinery
import inspect
import sys
import types

import beartype
import jaxtyping

CHECKED = ("visae.activations", "visae.encoding", "visae.evals", "visae.probing", "visae.sae")
"""Packages whose public functions are annotated."""

SPECIAL = ("__init__", "__call__")
"""Methods that are checked in spite of their names."""

TYPECHECKER = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
"""An int is a float where one is asked for, as type checkers have it."""


def install(packages=CHECKED):
    """Check what is imported from `packages` from now on."""
    loaded = [name for name in sys.modules if name.startswith(packages)]
    assert not loaded, f"{loaded[0]} was imported before its shapes could be checked"
    sys.meta_path.insert(0, _Finder(packages))


class _Finder:
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path, target=None):
        if not any(name == package or name.startswith(f"{package}.") for package in self.packages):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        super().exec_module(module)
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if isinstance(value, types.FunctionType):
                setattr(module, name, checked(value))
            elif inspect.isclass(value):
                _check_class(value)


def _check_class(cls):
    for name, value in list(vars(cls).items()):
        if name.startswith("__") and name not in SPECIAL:
            continue
        if isinstance(value, types.FunctionType):
            setattr(cls, name, checked(value))
        elif isinstance(value, property) and value.fget:
            setattr(cls, name, property(checked(value.fget), value.fset, value.fdel, value.__doc__))
        elif isinstance(value, classmethod):
            setattr(cls, name, classmethod(checked(value.__func__)))
    if dataclasses.is_dataclass(cls):
        jaxtyping.jaxtyped(cls, typechecker=TYPECHECKER)


def checked(function):
    """`function`, whose annotations are checked at every call; itself if it has none."""
    if not function.__annotations__:
        return function
    return jaxtyping.jaxtyped(function, typechecker=TYPECHECKER)
