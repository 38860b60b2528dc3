"""Memory that is freed and asked for again: cleared by the system each time, or kept."""

import ctypes
import mmap
import subprocess
import sys

from study_fixtures import ROOT

from visae.base import memory

SCRIPT = """
import ctypes, resource, sys
sys.path.insert(0, {path!r})
from visae.base.memory import keep_freed

# No pages of megabytes (PR_SET_THP_DISABLE): some systems hand them out unasked.
if hasattr(ctypes.CDLL(None), "prctl"):
    ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
{told}

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * {size}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""
SIZE = 2**26
PAGES = SIZE // mmap.PAGESIZE


def faults(told):
    code = SCRIPT.format(path=str(ROOT / "workflow_scripts"), told=told, size=SIZE)
    return int(subprocess.check_output([sys.executable, "-c", code]))


def test_what_is_kept_is_not_cleared_again():
    can_be_told = hasattr(ctypes.CDLL(None), "mallopt")
    assert faults("") > PAGES / 2
    assert (faults("keep_freed()") < PAGES / 100) == can_be_told


def test_a_library_that_cannot_be_told_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    memory.keep_freed()
