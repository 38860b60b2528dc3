"""Memory that is freed and asked for again: cleared by the system each time, or kept."""

import platform
import subprocess
import sys

import pytest
from study_fixtures import ROOT

from visae.base import memory

SCRIPT = """
import resource, sys
sys.path.insert(0, {path!r})
from visae.base.memory import keep_freed

{told}

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * {size}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""
SIZE = 2**26
PAGES = SIZE // 4096


def faults(told):
    code = SCRIPT.format(path=str(ROOT / "workflow_scripts"), told=told, size=SIZE)
    return int(subprocess.check_output([sys.executable, "-c", code]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_is_kept_is_not_cleared_again():
    assert faults("keep_freed()") < PAGES / 100 < PAGES / 2 < faults("")


def test_a_library_that_cannot_be_told_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    memory.keep_freed()
