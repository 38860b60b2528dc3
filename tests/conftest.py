"""What holds for all tests: shapes are checked; the collector of garbage rests until they run."""

import gc

import checked_shapes
import pytest

checked_shapes.install()
gc.disable()  # while some thousand modules and tests are read, all of which stay


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    gc.enable()
