"""Attributes of HDF5 files: what they are, and that a loop over them holds no lock."""

import threading

import h5py
import numpy as np
import pytest

from visae.base import hdf5
from visae.base.seals import LIBVER, open_hdf5, seal_hdf5

FORMAT = "visae-toy-1"


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "toy.h5", "w", libver=LIBVER) as file:
        hdf5.write_attributes(file, {"backbone": "toy", "grid": np.array([3, 4])})
        file["first"], file["second"] = [1, 2], [3, 4]
        seal_hdf5(file, tmp_path / "toy.h5", FORMAT)
    return tmp_path / "toy.h5"


def stopped(items):
    """The exception that ended a loop; its traceback keeps the loop's iterator."""
    try:
        [int("no number") for _ in items]
    except ValueError as error:
        return error


def another_thread_reads(path):
    """(whether another thread reads a file within some seconds, the thread)."""

    def read():
        with h5py.File(path) as file:
            hdf5.array(file, "first")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive(), thread


def test_a_loop_over_attributes_that_an_exception_ends_keeps_no_thread_out(path):
    with open_hdf5(path, FORMAT) as file:
        kept = stopped(hdf5.attributes(file).items())
        read, thread = another_thread_reads(path)
        del kept  # else a failure here would stop all tests after it
        thread.join()
    assert read


def test_attributes_are_those_of_the_format_without_the_seal(path):
    with open_hdf5(path, FORMAT) as file:
        found = hdf5.attributes(file)
    assert set(found) == {"backbone", "grid"}
    assert hdf5.text(found["backbone"]) == "toy"
    np.testing.assert_array_equal(found["grid"], [3, 4])
