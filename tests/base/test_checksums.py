"""Checksums are zlib's, of the bytes in C order, with the fast library and without it."""

import importlib
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from visae.base import checksums


@pytest.fixture(params=["zlib-ng", "zlib"], scope="module")
def module(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "zlib":
            patch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
        module = importlib.reload(checksums)
        assert (module.crc32 is zlib.crc32) == (request.param == "zlib")
        yield module
    importlib.reload(checksums)


@given(
    arrays.arrays(
        st.sampled_from(["float16", "uint8", "float32", "int64"]),
        arrays.array_shapes(min_dims=0, min_side=0, max_side=9),
        elements=st.integers(0, 99),
    )
)
def test_checksum_is_that_of_the_bytes(module, values):
    expected = zlib.crc32(values.tobytes())
    assert module.checksum(values) == expected
    assert module.checksum(np.asfortranarray(values)) == expected


def test_each_bit_of_a_chunk_counts(module):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((8, 196, 96)).astype(np.float16)
    assert module.checksum(values) == zlib.crc32(values.tobytes())
    seen = {module.checksum(values)}
    flat = values.view(np.uint8).reshape(-1)
    for byte, bit in zip(rng.integers(flat.size, size=64), range(64), strict=True):
        flat[byte] ^= 1 << bit % 8
        seen.add(module.checksum(values))
    assert len(seen) == 65
