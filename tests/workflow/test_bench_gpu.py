"""`make bench-gpu` in its small mode, as in a bare image: of the workflow's libraries a few."""

import json
import os
import subprocess
import sys

from study_fixtures import ROOT

RUN = """
import importlib.util, runpy, sys
absent = {"numba", "llvmlite", "sklearn", "overcomplete", "snakemake", "pandas", "open_clip",
          "jaxtyping", "statsmodels", "matplotlib", "skimage"}
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name.split(".")[0] in absent else find(name, *a)
class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
script, sys.argv = sys.argv[1], sys.argv[1:]
sys.path.insert(0, script.rpartition("/")[0])
runpy.run_path(script, run_name="__main__")
"""


def test_small_mode_without_the_workflows_libraries(tmp_path):
    path, script = tmp_path / "found.json", ROOT / "benchmarks/bench_gpu.py"
    command = [sys.executable, "-c", RUN, str(script), "--small", "--device", "cpu"]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "workflow_scripts"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*command, "--output", str(path)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text("utf-8"))
    assert found["failed"] == {}
    rows = {(row["part"], row["what"]): row["value"] for row in found["rows"]}
    for (part, what), value in rows.items():
        assert f"| {part} | {what} | {value:.4g} |" in done.stdout
        if part == "agreement":  # the device is the CPU itself
            assert value < 1e-6, what
        else:
            assert value > 0, what
    steps = [what for part, what in rows if part == "training"]
    assert len(steps) == 13
    assert {way for part, what in rows if part == "encoding" for way in what.split(", ")[1:]} == {
        "float32",
        "screened",
    }
    assert ("agreement", "screening, outlying channels × 1000, codes more or less") in rows
    assert {part for part, _ in rows} == {
        "agreement", "training", "encoding", "extraction", "probes"
    }  # fmt: skip
