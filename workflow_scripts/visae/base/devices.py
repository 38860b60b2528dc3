"""One GPU per job, on machines where nobody else hands them out.

A queue sets CUDA_VISIBLE_DEVICES for each job; Snakemake's local executor does not. A job takes
the first GPU on which no other job of this user on this machine holds the lock.
"""

import fcntl
import functools
import os
import tempfile
from pathlib import Path

GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Of NVIDIA's driver, AMD's, and either's under Windows: without one of them torch, which takes
seconds to import, would find no GPU."""

_held = []


@functools.cache
def take_device():
    """`cuda:<i>` of a GPU that this process holds until it ends, or `cpu` where there is none.

    When all visible GPUs are held by other jobs, the last one is shared. Asked again, the answer
    is the same. Products of float32 are then float32: TensorFloat-32, which PyTorch allows in
    convolutions by default, rounds patch embeddings more coarsely than the float16 of a cache.
    """
    if not any(map(os.path.exists, GPU_NODES)):
        return "cpu"
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
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
