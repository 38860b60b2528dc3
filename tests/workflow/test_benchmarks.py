"""Benchmarks run at small sizes: what they measure is for eyes, that they run is for a test."""

import subprocess
import sys

import h5py
import pytest
from study_fixtures import ROOT

from visae.base import seals

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


def test_the_seals_of_a_study_are_replayed(tmp_path):
    """A file is checked for what was made of it itself: not the index, of which rankings were."""
    results = tmp_path / "results/toy"
    index, score = results / "index/photos/val.csv", results / "metrics/clip/layer1/sae/fvu.json"
    seals.write_beside(index, "visae-index-1", "image_id\n1\n")
    rankings = results / "rankings/clip/layer1/sae/photos.h5"
    rankings.parent.mkdir(parents=True)
    with h5py.File(rankings, "w", libver=seals.LIBVER) as file:
        file["order"] = [1, 0]
        made_of = seals.made_of(rankings, [index])
        seals.seal_hdf5(file, rankings, "visae-rankings-2", made_of)
    seals.write_document(score, "visae-result-4", {}, seals.made_of(score, [rankings]))
    program = [sys.executable, "benchmarks/bench_seals.py", str(results), "--rounds", "1"]
    end = subprocess.run(
        program, cwd=ROOT, env={"PYTHONPATH": "workflow_scripts", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert end.returncode == 0, end.stderr
    for what, times in (("files checked", 2), ("looked up", 3), ("HDF5 files sealed", 1)):
        assert f"| {what} | {times} |" in end.stdout
