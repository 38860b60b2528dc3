"""numba's `njit`, with kernels kept on disk also where nothing may be written beside modules."""

import functools
import inspect
import tempfile
from pathlib import Path

import numba
from numba.core import config
from numba.core.caching import UserProvidedCacheLocator


def njit(function=None, **options):
    """`numba.njit`; with `cache=True` also where checkout and home folder are closed to writing.

    numba refuses to read kernels from where it may not write. Then it is given a folder of this
    process, with links to the kernels that lie beside the modules.
    """
    if function is None:
        return functools.partial(njit, **options)
    compiled = numba.njit(**options)
    try:
        return compiled(function)
    except RuntimeError as error:
        if "no locator" not in str(error):
            raise
    kept = getattr(config, "CACHE_DIR", "")
    setattr(config, "CACHE_DIR", _own_folder().name)  # noqa: B010 (made by numba when it starts)
    try:
        _link_kernels(inspect.getfile(function))
        return compiled(function)
    finally:
        setattr(config, "CACHE_DIR", kept)  # noqa: B010


def _link_kernels(module):
    """Link the kernels beside the file `module` to where numba looks for them."""
    folder = Path(_own_folder().name, UserProvidedCacheLocator.get_suitable_cache_subpath(module))
    if not folder.exists():  # those of a package's other modules are linked already
        folder.mkdir()
        for kernel in Path(module).resolve().parent.glob("__pycache__/*.nb[ic]"):
            (folder / kernel.name).symlink_to(kernel)


@functools.cache
def _own_folder():
    """A folder that is removed when this process ends."""
    return tempfile.TemporaryDirectory(prefix="visae-kernels-")
