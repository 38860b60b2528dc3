"""Kernels that lie beside the modules are used where nothing may be written there."""

import ast
import subprocess
import sys

import pytest
from study_fixtures import ROOT

# Numba's question whether a folder may be written to is denied but in folders of the process.
PROGRAM = """
import sys, tempfile
from types import SimpleNamespace
from numba.core import caching

def closed(dir):
    if "visae-kernels-" not in str(dir):
        raise PermissionError(dir)
    return tempfile.TemporaryFile(dir=dir)

if sys.argv[1] == "closed":
    caching.tempfile = SimpleNamespace(TemporaryFile=closed)
sys.path[:0] = sys.argv[2:]
import one.kernels, two.kernels
for kernels, result in ((one.kernels, 6.0), (two.kernels, 7.0)):
    assert kernels.add(5.0) == result
    print(sum(kernels.add.stats.cache_hits.values()), kernels.add.stats.cache_path)
"""
KERNELS = """
from visae.base.compiled import njit

@njit(cache=True)
def add(number):
    return number + {number}
"""


@pytest.fixture
def run(tmp_path):
    for number, package in enumerate(("one", "two"), start=1):
        (tmp_path / package).mkdir()
        (tmp_path / package / "kernels.py").write_text(KERNELS.format(number=number))

    def run(state):
        command = [sys.executable, "-c", PROGRAM, state, str(tmp_path), f"{ROOT}/workflow_scripts"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [line.split() for line in done.stdout.splitlines()]

    return run


def test_kernels_are_read_where_nothing_may_be_written(run, tmp_path):
    compiled = run("open")
    assert [hits for hits, _ in compiled] == ["0", "0"]
    assert all(folder.startswith(str(tmp_path)) for _, folder in compiled)
    before = sorted(tmp_path.rglob("*.nb[ic]"))
    read = run("closed")
    assert [hits for hits, _ in read] == ["1", "1"]
    assert not any(folder.startswith(str(tmp_path)) for _, folder in read)
    assert sorted(tmp_path.rglob("*.nb[ic]")) == before


def test_kernels_are_compiled_where_none_lie(run, tmp_path):
    assert [hits for hits, _ in run("closed")] == ["0", "0"]
    assert not list(tmp_path.rglob("*.nb[ic]"))


SUMS = {"sum", "mean", "var", "std", "prod", "cumsum", "average", "nansum", "nanmean"}


def kernels_that_sum(text):
    """(kernel, method) of every sum of an array that a compiled function leaves to numba."""
    kernels = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    return [
        (kernel.name, call.func.attr)
        for kernel in kernels
        for call in ast.walk(kernel)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in SUMS
    ]


def test_no_kernel_leaves_a_sum_to_numba():
    """It adds float32 one by one in float32 (0.68.1): the mean of 2^25 ones is 0.5."""
    modules = sorted((ROOT / "workflow_scripts").rglob("*.py"))
    texts = {path: path.read_text("utf-8") for path in modules}
    assert sum("@njit" in text for text in texts.values()) > 5
    found = {path.name: kernels_that_sum(text) for path, text in texts.items()}
    assert not {name: sums for name, sums in found.items() if sums}
    wrong = "@njit(cache=True)\ndef f(x):\n    return x.mean() + np.sum(x)\n"
    assert sorted(kernels_that_sum(wrong)) == [("f", "mean"), ("f", "sum")]
