"""Pools of threads and of processes: results in order, a bounded number of them ahead.

Threads are for what lets go of the interpreter (kernels, products, reading); processes for the
rest. An error in a pool is raised where its result is asked for. Whatever ends the `with` block
drops what has not begun.
"""

import collections
import contextvars
import ctypes
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from queue import Queue


class _Pool:
    """A context manager; `size` is how many tasks run at once."""

    def __init__(self, size, executor):
        self.size, self._executor = size, executor

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Wait for the tasks that run, and drop those that have not begun."""
        self._executor.shutdown(cancel_futures=True)

    def submit(self, function, *arguments):
        """A future of function(*arguments)."""
        return self._executor.submit(function, *arguments)

    def map(self, function, argument_tuples):
        """Yield function(*arguments) in order.

        Arguments are drawn as workers get free: two tasks per worker wait or run at most.
        """
        waiting = collections.deque()
        for arguments in argument_tuples:
            waiting.append(self.submit(function, *arguments))
            if len(waiting) >= 2 * self.size:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class Threads(_Pool):
    """Threads that run each task in a copy of its submitter's context (NumPy's `errstate`).

    initializer: called with `arguments` by each thread as it starts.
    """

    def __init__(self, threads, initializer=None, *arguments):
        super().__init__(threads, ThreadPoolExecutor(threads, "pool", initializer, arguments))

    def submit(self, function, *arguments):
        return super().submit(contextvars.copy_context().run, function, *arguments)


class Workers(_Pool):
    """Processes; with one of them, tasks run at once in this process instead.

    They are forked: a spawned one would run the workflow script's own lines again. Each has one
    BLAS and OpenMP thread, since two on as many cores are 30 times slower than one. They die with
    this process, however it ends.
    """

    def __init__(self, processes=1):
        super().__init__(processes, None)

    def __enter__(self):
        if self.size > 1:
            self._executor = ProcessPoolExecutor(
                self.size,
                multiprocessing.get_context("fork"),
                initializer=_start_worker,
                initargs=(os.getpid(),),
            )
        return self

    def close(self):
        if self._executor is not None:
            super().close()

    def submit(self, function, *arguments):
        if self._executor is not None:
            return super().submit(function, *arguments)
        future = Future()
        future.set_result(function(*arguments))
        return future

    def map(self, function, argument_tuples):
        if self._executor is not None:
            return super().map(function, argument_tuples)
        return (function(*arguments) for arguments in argument_tuples)


def workers_on(device, *, processes):
    """`Workers` of that many processes on the CPU; of this one alone where `device` is a GPU."""
    return Workers(processes if device == "cpu" else 1)


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


PIECES_PER_THREAD = 4
"""Pieces of a range: more than one, because pieces take different times."""


def in_pieces(kernel, length, threads, *arguments):
    """Call kernel(start, stop, *arguments) for pieces of range(length), in threads.

    The threads are kept for the next call. With one thread the kernel is called here, once.
    """
    if threads == 1:
        kernel(0, length, *arguments)
        return
    pieces = threads * PIECES_PER_THREAD
    edges = [length * piece // pieces for piece in range(pieces + 1)]
    pool = _kept_threads(threads)
    tasks = [pool.submit(kernel, *edge, *arguments) for edge in itertools.pairwise(edges)]
    for task in tasks:
        task.result()


@functools.cache
def _kept_threads(threads):
    return Threads(threads)


# A forked process has the pools, but none of their threads.
os.register_at_fork(after_in_child=_kept_threads.cache_clear)


def ahead(source, depth):
    """Yield what the generator `source` yields, with up to `depth` items made in a thread ahead.

    Its errors are raised here. Closing this generator closes `source` and ends the thread.
    """
    queue, stop = Queue(maxsize=depth), threading.Event()

    def work():
        end = None
        try:
            with closing(source):
                for item in source:
                    queue.put(item)
                    if stop.is_set():
                        break
        except BaseException as error:
            end = error
        queue.put(end)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            if not queue.empty():
                queue.get()
            thread.join(timeout=0.01)
