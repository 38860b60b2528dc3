"""Jobs on one machine take one GPU each (with two pretended GPUs)."""

import os
import subprocess
import tempfile
from pathlib import Path

import torch
import warm_python
from workflow_fixtures import JOBS, warm

from visae.base import devices

JOB = """
import sys, types, torch
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 2
torch.cuda.get_device_properties = lambda i: types.SimpleNamespace(uuid=f"pretended-{i}")
from visae.base import devices
devices.GPU_NODES = ("/dev/null",)
print(devices.take_device(), flush=True)
sys.stdin.read()
"""


def test_without_gpu_it_is_the_cpu():
    assert torch.cuda.is_available() or devices.take_device() == "cpu"


def test_jobs_at_once_take_different_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    scripts = str(Path(devices.__file__).parents[2])
    program = [*warm_python.command(warm(*JOBS)), tmp_path / "job.py"]
    program[-1].write_text(JOB)

    def start():
        job = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": scripts},
        )  # fmt: skip
        return job, job.stdout.readline().strip()

    first, on_first = start()
    second, on_second = start()
    assert {on_first, on_second} == {"cuda:0", "cuda:1"}
    first.communicate("")
    third, on_third = start()
    assert on_third == on_first
    second.communicate("")
    third.communicate("")
