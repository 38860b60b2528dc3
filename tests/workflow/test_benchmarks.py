"""Benchmarks run at small sizes: what they measure is for eyes, that they run is for a test."""

import subprocess
import sys

import pytest
from study_fixtures import ROOT

SMALL = "--side 4 --width 64 --threads 1"


@pytest.mark.parametrize(
    "command,said",
    [
        ("encoding --images 8 --features 256 --l0 8 --repeats 1 " + SMALL, "| whole pass |"),
        ("evaluation --images 200 --features 256 --classes 10 --l0 8 " + SMALL, "| **together** |"),
        ("matching --images 100 --features 256 --threads 1", "| matching |"),
        ("reading --images 512 --window 128 --batch 256 --repeats 1 " + SMALL, "| here |"),
        ("training --tokens 256 --width 96 --k 8 --rounds 1 --threads 1", "| sparse step"),
    ],
)
def test_a_benchmark_runs(command, said):
    name, *options = command.split()
    program = [sys.executable, f"benchmarks/bench_{name}.py", *options]
    end = subprocess.run(
        program, cwd=ROOT, env={"PYTHONPATH": "workflow_scripts", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert end.returncode == 0, end.stderr
    assert said in end.stdout
