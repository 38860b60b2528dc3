"""A sparse matrix in a file is the dense one, to the bit, whatever is asked of it."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_fixtures import CODES, stored

from visae.base.errors import UserError
from visae.base.seals import LIBVER
from visae.base.sparse_hdf5 import SparseDataset, SparseWriter
from visae.plan.artefacts import sparse_bytes


def matrix(rows, columns, density, seed=0):
    """float16 [rows, columns] of any bits: −0 and NaN are among them."""
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2**16, (rows, columns), np.uint16)
    bits[generator.random(bits.shape) >= density] = 0
    return bits.view(np.float16)


@settings(deadline=None, max_examples=60)  # the kernels are compiled
@given(data=st.data())
def test_every_selection_is_that_of_the_dense_matrix(tmp_path_factory, data):
    rows, columns = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 70))
    chunks = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    density = data.draw(st.sampled_from([0, 0.02, 0.3, 1]))
    # Numbers alone: a checked array holds no NaN.
    dense = np.abs(np.nan_to_num(matrix(rows, columns, density, rows * columns), posinf=1))
    path = tmp_path_factory.mktemp("sparse") / "codes.h5"
    with h5py.File(path, "w", libver=LIBVER) as file:
        found = stored(file, dense, chunks)
        assert (found.shape, found.dtype, found.chunks) == (dense.shape, dense.dtype, chunks)
        assert len(file["codes_max/values"]) == np.count_nonzero(dense)

        def part(size):
            edge = st.none() | st.integers(-size - 2, size + 2)
            return data.draw(
                st.integers(-size, size - 1)
                | st.builds(slice, edge, edge, st.sampled_from([None, 1, 2, -1]))
            )

        for selection in (part(rows), (part(rows), part(columns)), slice(None)):
            expected = dense[selection]
            got = found[selection]
            assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
            assert got.tobytes() == expected.tobytes()


def test_all_bits_are_kept(tmp_path):
    dense = matrix(16, 2048, 1.0)
    dense[0, 0] = -0.0
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        stored(file, dense, (16, 1024))
        values = file["codes_max/values"][:].view(np.uint16)
    blocks = [part.reshape(-1) for part in np.split(dense.view(np.uint16), 2, axis=1)]
    flat = np.concatenate(blocks)
    np.testing.assert_array_equal(values, flat[flat != 0])


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 17])
def test_negative_zeros_are_read_as_they_were_written(tmp_path, columns):
    dense = np.zeros((5, columns), np.float16)
    dense[::2, -1] = -0.0
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        assert stored(file, dense, (2, 8))[:].tobytes() == dense.tobytes()


@pytest.mark.parametrize("density", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("shape", [(640, 5000), (48, 3000)])
def test_the_size_on_the_disk_is_what_is_counted(tmp_path, density, shape):
    dense = matrix(*shape, density)
    with h5py.File(tmp_path / "codes.h5", "w", libver=LIBVER) as file:
        stored(file, dense)
    counted = sparse_bytes(*shape, np.count_nonzero(dense))
    assert (tmp_path / "codes.h5").stat().st_size == pytest.approx(counted, abs=6000, rel=0.03)
    if density < 0.1:
        assert counted < dense.nbytes / 4


def test_blocks_come_in_order_and_whole(tmp_path):
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        writer = SparseWriter(file, "codes_max", (4, 10), np.float16, (2, 6))
        with pytest.raises(RuntimeError, match="block 0"):
            writer.write((0, 0), np.zeros((4, 5), np.float16))
        writer.write((0, 0), np.zeros((4, 6), np.float16))
        with pytest.raises(RuntimeError, match="1 blocks written of 2"):
            writer.finish()
        with pytest.raises(ValueError, match="parts of 2 × 6 of a matrix of 4 × 0"):
            SparseWriter(file, "none", (4, 0), np.float16, (2, 6))


def changed_value(group):
    group["values"][3] += 1


def changed_bits(group):
    group["bits"][17, 0] ^= 1


def moved_end(group):
    group["ends"][0, 0] -= 1


@pytest.mark.parametrize("change", [changed_value, changed_bits, moved_end])
def test_a_part_that_has_changed_is_refused_when_it_is_read(tmp_path, change):
    dense = np.abs(np.nan_to_num(matrix(40, 2000, 0.1), posinf=1))
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        stored(file, dense)
        change(file["codes_max"])
        opened = SparseDataset(file, "codes_max", CODES)
        with pytest.raises(UserError, match=r"codes_max.* cannot be read .*changed"):
            opened[:]
        np.testing.assert_array_equal(opened[32:, 1024:], dense[32:, 1024:])


def test_bits_that_are_not_of_the_values_are_refused_behind_right_checksums(tmp_path):
    dense = np.ones((16, 1000), np.float16)
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        stored(file, dense)
        fewer = dense.copy()
        fewer[3, 7] = 0
        stored(file.create_group("other"), fewer)
        for name in ("bits", "bits_crc32"):
            del file[f"codes_max/{name}"]
            file[f"codes_max/{name}"] = file[f"other/codes_max/{name}"]
        with pytest.raises(UserError, match="are not of one matrix"):
            SparseDataset(file, "codes_max", CODES)[:]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ends", lambda a: a[:-1]),
        ("ends", lambda a: -a),
        ("ends", lambda a: a * 2),
        ("values_crc32", lambda a: a[:, :-1]),
        ("values", lambda a: a[:-1]),
    ],
)
def test_parts_of_other_matrices_are_refused_when_opened(tmp_path, name, change):
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        stored(file, matrix(40, 2000, 0.1))
        array = file[f"codes_max/{name}"][()]
        del file[f"codes_max/{name}"]
        file[f"codes_max/{name}"] = change(array)
        with pytest.raises(ValueError, match="not of a matrix of shape"):
            SparseDataset(file, "codes_max", CODES)
