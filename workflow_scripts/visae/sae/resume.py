"""Resumable training checkpoints: killed at any moment, the same command ends at the same bits.

A checkpoint lives outside the job's outputs (Snakemake deletes those of a failed job) and
carries a fingerprint of everything that decides the result; one of another run is ignored.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from visae.base import fingerprints
from visae.base.files import atomic_path
from visae.base.reading import guarded

STOPPED_BY_SIGTERM = 128 + signal.SIGTERM
TENSOR = "tensor"
"""The only key of what stands for a tensor."""


def save(path: Path, fingerprint: str, state: Any) -> None:
    """Write `state` (nested mappings and lists of tensors, numbers and strings) atomically.

    The file is safetensors: tensors by number, and in its metadata the rest as JSON, the
    fingerprint of the run and a digest of all that is there.
    """
    tensors: dict[str, torch.Tensor] = {}
    rest = json.dumps(_apart(state, tensors))
    metadata = {
        "fingerprint": fingerprint,
        "rest": rest,
        "digest": _digest(fingerprint, rest, tensors),
    }
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata)


def load(path: Path, fingerprint: str, report: Callable[[str], Any]) -> Any:
    """The state at `path`, or None when there is none of this fingerprint (`report` says so).

    A damaged file is ignored too, whatever reading it raises: nothing may recur at every attempt.
    """
    if not path.exists():
        return None
    try:
        with guarded(path, "a checkpoint"), safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found, rest = metadata["fingerprint"], metadata["rest"]
        if metadata["digest"] != _digest(found, rest, tensors):
            raise ValueError("its content has changed since it was written")
        state = _together(json.loads(rest), tensors)
    except Exception as error:
        report(f"ignoring the training checkpoint {path}, which cannot be read: {error!r}")
        return None
    if found != fingerprint:
        report(
            f"ignoring the training checkpoint {path}: it is of other settings, data or code "
            f"({found}, now {fingerprint})"
        )
        return None
    return state


def _digest(fingerprint, rest, tensors):
    content = fingerprints.of_tensors(tensors.items())
    return fingerprints.of_bytes(json.dumps([fingerprint, rest, content]).encode())


def _apart(state, tensors):
    """`state` as JSON has it; tensors go to `tensors`, {TENSOR: its name} stands for each."""
    if isinstance(state, torch.Tensor):
        name = f"{len(tensors):06d}"
        # A copy, because safetensors refuse tensors that share memory.
        tensors[name] = state.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {TENSOR: name}
    if isinstance(state, Mapping):
        return {key: _apart(value, tensors) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_apart(value, tensors) for value in state]
    return state


def _together(state, tensors):
    """What `_apart` took apart; tuples are lists."""
    if isinstance(state, dict):
        if state.keys() == {TENSOR}:
            return tensors[state[TENSOR]]
        return {key: _together(value, tensors) for key, value in state.items()}
    if isinstance(state, list):
        return [_together(value, tensors) for value in state]
    return state


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
