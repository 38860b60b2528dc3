"""Measuring the geometry of backbones, with their libraries imported only when it comes to it."""

import multiprocessing
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

from visae.base.errors import UserError


def measured(entries):
    """Name → Geometry of config entries (name → entry): `measure_geometries`, when it is needed.

    Raises ImportError where the backbones' libraries are not installed, and UserError.
    """
    from visae.backbones.shapes import measure_geometries

    return measure_geometries(entries)


def measured_apart(entries):
    """The same in a process of its own, so that the caller's does not import these libraries.

    Raises UserError where that process is ended.
    """
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(measured, entries).result()
    except BrokenExecutor as error:
        raise UserError(
            f"the process that measures the shapes of {', '.join(entries)} was ended, by a library "
            "or because the memory was full: see whether `import torch, timm` works, and run the "
            "same command again"
        ) from error
