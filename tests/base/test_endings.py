"""Signals that meet a process while it holds a lock, and Snakemake while jobs run."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from study_fixtures import ROOT

from visae.base.endings import handle_in_a_thread


@pytest.fixture
def handler_of():
    """`handler_of(function)` stands for what Snakemake sets; it is put back after the test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda function: signal.signal(signal.SIGUSR1, function)
    signal.signal(signal.SIGUSR1, before)


def test_a_handler_may_take_the_lock_that_the_main_thread_has(handler_of):
    lock, handled = threading.Lock(), threading.Event()

    def take(*_):
        if lock.acquire(timeout=2):  # in the main thread it would wait for itself
            handled.set()

    handler_of(take)
    handle_in_a_thread(signal.SIGUSR1)
    with lock:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)  # the handler has begun when this line has ended
        assert not handled.is_set()
    assert handled.wait(10)


def test_each_signal_is_handled_with_what_it_says(handler_of):
    seen, twice = [], threading.Semaphore(0)

    def note(number, frame):
        seen.append((number, frame is not None))
        twice.release()

    handler_of(note)
    handle_in_a_thread(signal.SIGUSR1)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert twice.acquire(timeout=10)
    assert seen == [(signal.SIGUSR1, True)] * 2


SNAKEFILE = """
import signal
from visae.base import endings
onstart:
    endings.handle_in_a_thread(signal.SIGTERM)
rule all:
    input: "second.txt"
rule first:
    output: "first.txt"
    shell: "touch begun; while test -e begun; do sleep 0.05; done; touch {output}"
rule second:
    input: "first.txt"
    output: "second.txt"
    shell: "touch {output}"
"""


def test_snakemake_ends_with_the_job_that_runs(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    with subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow_scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        while not (tmp_path / "begun").exists():
            assert run.poll() is None, run.stdout.read()
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        shown = next(line for line in run.stdout if "Will exit after finishing" in line)
        (tmp_path / "begun").unlink()
        run.communicate()
    assert shown
    assert run.returncode != 0
    assert (tmp_path / "first.txt").exists()
    assert not (tmp_path / "second.txt").exists()
