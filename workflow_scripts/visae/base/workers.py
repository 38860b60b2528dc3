"""Worker processes with one BLAS thread each."""

import collections
import concurrent.futures
import ctypes
import multiprocessing
import os
import signal
import sys


class Workers:
    """A context manager that runs functions in `processes` workers, or inline if there is one.

    The workers are forked: a spawned one would run the workflow script's own lines again. Each
    has one BLAS and OpenMP thread, since two on as many cores are 30 times slower than one.
    """

    def __init__(self, processes=1):
        self.processes = processes
        self._pool = None

    def __enter__(self):
        if self.processes > 1:
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self.processes,
                multiprocessing.get_context("fork"),
                initializer=_start_worker,
                initargs=(os.getpid(),),
            )
        return self

    def __exit__(self, *exception):
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, function, *arguments):
        """A future of function(*arguments)."""
        if self._pool is not None:
            return self._pool.submit(function, *arguments)
        future = concurrent.futures.Future()
        future.set_result(function(*arguments))
        return future

    def map(self, function, argument_tuples):
        """Yield the results in order; arguments are drawn as workers get free."""
        waiting = collections.deque()
        for arguments in argument_tuples:
            waiting.append(self.submit(function, *arguments))
            if self._pool is None or len(waiting) > 2 * self.processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


PARENT_DEATH_SIGNAL = 1
"""Of prctl(2)."""


def _start_worker(parent):
    """One thread; and an end with the parent, whom `kill -9` leaves no time to end its workers."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before this line
        os._exit(1)
