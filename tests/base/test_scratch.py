"""Scratch arrays: a thread's own, used again, as large as asked for."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from visae.base.scratch import LINE, aligned, scratch


def test_an_array_is_used_again_and_grows():
    first = scratch("of a test", np.float32, 3, 4)
    assert (first.shape, first.dtype) == ((3, 4), np.float32)
    assert np.shares_memory(scratch("of a test", np.float32, 12), first)
    assert scratch("of a test", np.float32, 2, 2).shape == (2, 2)
    larger = scratch("of a test", np.float32, 5, 4)
    assert larger.shape == (5, 4)
    assert not np.shares_memory(larger, first)
    assert not np.shares_memory(larger, scratch("of another", np.float32, 5, 4))
    assert scratch("of a test", np.int32, 2).dtype == np.int32


def test_threads_do_not_share():
    both = Barrier(2)

    def of_thread():
        array = scratch("of a thread", np.int32, 8)
        both.wait()  # so that neither thread runs both tasks
        return array

    with ThreadPoolExecutor(2) as pool:
        one, other = (task.result() for task in [pool.submit(of_thread) for _ in range(2)])
    assert not np.shares_memory(one, other)


@pytest.mark.parametrize("kind", [np.int8, np.float32, np.int64])
def test_arrays_begin_with_a_line_of_the_cache(kind):
    # Not every array of NumPy does, so that several are looked at.
    held = [aligned(kind, size, 3) for size in range(1, 40)]
    assert {array.ctypes.data % LINE for array in held} == {0}
    assert all((array.shape, array.dtype) == ((n, 3), kind) for n, array in enumerate(held, 1))
    assert scratch("that begins with a line", kind, 7).ctypes.data % LINE == 0
    held[-1][:] = 1
    assert not np.shares_memory(held[-1], held[-2])
