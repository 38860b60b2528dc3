"""Pools: results in order and bounded, errors where results are asked for, nothing left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from visae.base import fingerprints, pools
from visae.base.pools import Threads, Workers, ahead, in_pieces, workers_on


def square(number):
    return number * number


def fail(number):
    raise ValueError(f"number {number}")


POOLS = [
    pytest.param(lambda: Threads(1), id="1 thread"),
    pytest.param(lambda: Threads(3), id="3 threads"),
    pytest.param(lambda: Workers(1), id="inline"),
    pytest.param(lambda: Workers(2), id="2 processes"),
]


@pytest.mark.parametrize("make", POOLS)
def test_results_come_in_order(make):
    with make() as pool:
        assert list(pool.map(square, ((n,) for n in range(40)))) == [n * n for n in range(40)]
        assert pool.submit(square, 5).result() == 25


def test_results_come_in_order_though_later_tasks_end_first():
    ended = []

    def wait(number):
        time.sleep(0.05 * (3 - number))
        ended.append(number)
        return number

    with Threads(3) as pool:
        assert list(pool.map(wait, ((n,) for n in range(3)))) == [0, 1, 2]
    assert ended == [2, 1, 0]


@pytest.mark.parametrize("make", POOLS)
def test_an_error_is_raised_where_its_result_is_asked_for(make):
    with make() as pool:
        assert next(results := pool.map(square, [(2,), (3,)])) == 4
        assert next(results) == 9
        with pytest.raises(ValueError, match="number 7"):
            list(pool.map(fail, [(7,)]))


@pytest.mark.parametrize(
    "make, most", [(lambda: Threads(2), 4), (lambda: Workers(2), 4), (lambda: Workers(1), 1)]
)
def test_arguments_are_drawn_a_bounded_number_ahead(make, most):
    drawn = []

    def arguments():
        for number in range(50):
            drawn.append(number)
            yield (number,)

    with make() as pool:
        for given, _ in enumerate(pool.map(square, arguments())):
            assert len(drawn) - given <= most
    assert len(drawn) == 50


def test_what_has_not_begun_is_dropped_when_the_block_fails():
    begun, go_on = [], threading.Event()

    def task(number):
        begun.append(number)
        go_on.wait(10)

    def fail_with_tasks_waiting():
        with Threads(1) as pool:
            for number in range(20):
                pool.submit(task, number)
            while not begun:
                time.sleep(0.001)
            threading.Timer(0.05, go_on.set).start()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail_with_tasks_waiting()
    assert begun == [0]


def test_each_thread_begins_with_the_initializer():
    own = threading.local()

    def begin(value):
        own.value = value

    with Threads(2, begin, "set") as pool:
        assert list(pool.map(lambda _: own.value, ((n,) for n in range(8)))) == ["set"] * 8


def errstate_of(_=None):
    return np.geterr()["over"]


def test_threads_run_in_the_context_of_their_submitter():
    def generator():
        yield errstate_of()

    with Threads(1) as pool:
        pool.submit(errstate_of).result()  # the thread has started in another context
        with np.errstate(over="raise"):
            assert pool.submit(errstate_of).result() == "raise"
            assert list(ahead(generator(), 1)) == ["raise"]
        assert pool.submit(errstate_of).result() != "raise"
        # The contrast: a plain pool does not carry it.
        with ThreadPoolExecutor(1) as plain, np.errstate(over="raise"):
            assert plain.submit(errstate_of).result() != "raise"


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 1, 7, 1000])
def test_pieces_cover_a_range_once(threads, length):
    seen = np.zeros(length, int)

    def kernel(start, stop, step):
        seen[start:stop] += step

    in_pieces(kernel, length, threads, 2)
    assert (seen == 2).all()


def test_an_error_in_a_piece_is_raised():
    def kernel(start, stop):
        if start > 50:
            raise ValueError(f"piece {start}")

    with pytest.raises(ValueError, match="piece"):
        in_pieces(kernel, 100, 2)


def pieces_of_a_fork(length):
    """What in_pieces computes in a forked process."""
    seen = np.zeros(length, int)

    def kernel(start, stop):
        seen[start:stop] += 1

    in_pieces(kernel, length, 2)
    return int(seen.sum())


def test_a_forked_process_has_its_own_kept_threads():
    assert pieces_of_a_fork(100) == 100  # the threads are kept here, and are not in the fork
    with Workers(2) as workers:
        assert workers.submit(os.getpid).result() != os.getpid()
        assert workers.submit(pieces_of_a_fork, 100).result(timeout=20) == 100


def test_kept_threads_are_the_same_in_the_next_call():
    def names():
        found = set()
        in_pieces(lambda start, stop: found.add(threading.get_ident()), 100, 2)
        return found

    names()
    before = threading.active_count()
    for _ in range(5):
        names()
    assert threading.active_count() <= before + 2
    assert pools._kept_threads(2) is pools._kept_threads(2)


def test_ahead_yields_everything_and_raises_the_errors_of_its_source():
    def source():
        yield from range(5)
        raise ValueError("the end")

    items = ahead(source(), 2)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="the end"):
        next(items)


def test_ahead_is_bounded_and_closes_its_source():
    made, closed = [], threading.Event()

    def source():
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.set()

    items = ahead(source(), 2)
    assert next(items) == 0
    time.sleep(0.1)
    assert len(made) <= 1 + 2 + 2  # given, waiting, and one in hand on either side
    items.close()
    assert closed.wait(5)
    assert len(made) < 10


def test_workers_of_a_killed_job_do_not_outlive_it():
    program = """
import os, time
from visae.base.pools import Workers
with Workers(2) as workers:
    futures = [workers.submit(os.getpid) for _ in range(20)]
    print(*{future.result() for future in futures}, flush=True)
    workers.submit(time.sleep, 600).result()
"""
    environment = {**os.environ, "PYTHONPATH": str(fingerprints.SCRIPTS)}
    job = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    )
    workers = [int(number) for number in job.stdout.readline().split()]
    assert workers
    job.send_signal(signal.SIGKILL)
    job.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.parametrize(("device", "size"), [("cpu", 3), ("cuda:0", 1), ("mps", 1)])
def test_a_gpu_has_no_processes_beside(device, size):
    assert workers_on(device, processes=3).size == size
