"""Resumable training checkpoints: killed at any moment, the same command ends at the same bits.

A checkpoint lives outside the job's outputs (Snakemake deletes those of a failed job) and
carries a fingerprint of everything that decides the result; one of another run is ignored.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from visae.base.files import atomic_path

STOPPED_BY_SIGTERM = 128 + signal.SIGTERM


def save(path: Path, fingerprint: str, state: Any) -> None:
    """Write `state` (nested mappings and lists of tensors, numbers and strings) atomically."""
    with atomic_path(path) as temporary:
        torch.save({"fingerprint": fingerprint, "state": state}, temporary)


def load(path: Path, fingerprint: str, report: Callable[[str], Any]) -> Any:
    """The state at `path`, or None when there is none of this fingerprint (`report` says so)."""
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content["fingerprint"]
    except (
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        EOFError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        report(f"ignoring the training checkpoint {path}, which cannot be read: {error}")
        return None
    if found != fingerprint:
        report(
            f"ignoring the training checkpoint {path}: it is of other settings, data or code "
            f"({found}, now {fingerprint})"
        )
        return None
    return content["state"]


@contextlib.contextmanager
def sigterm_flag() -> Iterator[threading.Event]:
    """Yield an Event that SIGTERM sets instead of ending the process (in the main thread)."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: flag.set())
    try:
        yield flag
    finally:
        signal.signal(signal.SIGTERM, previous)
