"""One GPU per job, on machines where nobody else hands them out.

A queue sets CUDA_VISIBLE_DEVICES for each job; Snakemake's local executor does not. A job takes
the first GPU on which no other job of this user on this machine holds the lock.
"""

import fcntl
import os
import tempfile
from pathlib import Path

import torch

_held = []


def take_device():
    """`cuda:<i>` of a GPU that this process holds until it ends, or `cpu` where there is none.

    When all visible GPUs are held by other jobs, the last one is shared.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(count):
        identity = torch.cuda.get_device_properties(number).uuid
        # Another user's lock file could not be opened, and would end every job on a shared node.
        name = f"visae-gpu-{os.getuid()}-{identity}.lock"
        lock = open(Path(tempfile.gettempdir()) / name, "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)  # released when the process ends, however it ends
        return f"cuda:{number}"
    return f"cuda:{count - 1}" if count else "cpu"
