"""Every kernel that is kept on disk is compiled by `compile_kernels`, and found there again."""

import os
import subprocess
import sys

from study_fixtures import ROOT

SCRIPTS = ROOT / "workflow_scripts"

# Runs the script, then says which kernels it did not compile, how many kernels there are, and how
# many were not found on disk.
PROGRAM = """
import importlib, runpy, sys
from numba.core.dispatcher import Dispatcher
runpy.run_path(sys.argv[1], run_name="__main__")
kernels = misses = 0
for name in (
    "base.sparse_hdf5",
    "activations.shards",
    "probing.fstatistic",
    "probing.one_vs_rest",
    "probing.rankings",
    "encoding.kernels",
    "sae.screen_kernels",
    "sae.sparse",
    "sae.families.matryoshka.trainer",
    "evals.sparse_codes",
):
    module = importlib.import_module(f"visae.{name}")
    for function in vars(module).values():
        if isinstance(function, Dispatcher) and function.stats.cache_path:
            kernels += 1
            misses += sum(function.stats.cache_misses.values())
            if not function.signatures:
                print("not compiled:", function.py_func.__name__)
print(kernels, misses)
"""


def run(cache):
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "NUMBA_CACHE_DIR": str(cache)}
    program = [sys.executable, "-c", PROGRAM, str(ROOT / "envs/compile_kernels.py")]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    *not_compiled, numbers = done.stdout.splitlines()
    return not_compiled, [int(number) for number in numbers.split()]


def test_all_kernels_are_compiled_and_found_again(tmp_path):
    not_compiled, (kernels, misses) = run(tmp_path)
    assert not not_compiled
    assert kernels == source_count()
    assert misses >= kernels
    _, again = run(tmp_path)
    assert again == [kernels, 0]


def source_count():
    """Kernels in the source that are kept on disk."""
    lines = [
        line.strip()
        for path in (SCRIPTS / "visae").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return sum(line == "@_jit" or (line.startswith("@") and "cache=True" in line) for line in lines)
