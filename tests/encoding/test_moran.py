"""Moran's I: equal to esda, right on planted maps, undefined where it should be."""

import esda
import libpysal
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visae.encoding.dense_moran import dense_moran, sum_evaluable
from visae.encoding.kernels import map_moran
from visae.encoding.moran import Neighbours, null

GRID = (14, 14)


def sparse(flat_map, grid, floor=1e-8):
    """(queen, rook) of one map through the kernel for active patches."""
    neighbours = Neighbours.of_grid(grid)
    active = np.flatnonzero(flat_map).astype(np.int32)
    padded = neighbours.padded_map()
    result = map_moran(active, flat_map[active], 0, len(active), padded, neighbours, floor)
    assert not padded.any()
    return np.array(result)


def dense(flat_map, grid, floor=1e-8):
    """(queen, rook) of one map through the kernel for blocks of maps."""
    return dense_moran(torch.from_numpy(flat_map)[None, :, None], grid, floor)[:, 0, 0].numpy()


def reference(flat_map, grid):
    """(queen, rook) by esda with binary weights."""
    weights = [libpysal.weights.lat2W(*grid, rook=rook) for rook in (False, True)]
    return np.array(
        [
            esda.Moran(flat_map.astype(float), w, transformation="B", permutations=0).I
            for w in weights
        ]
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # esda's p-values on the smallest grids
@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(2, 6),
    width=st.integers(2, 6),
    density=st.sampled_from([0.1, 0.5, 1.0]),
    offset=st.sampled_from([0.0, 1000.0]),
    scale=st.sampled_from([1.0, 0.01]),
    seed=st.integers(0, 1000),
)
@example(height=14, width=14, density=0.05, offset=0.0, scale=1.0, seed=0)
@example(height=16, width=16, density=1.0, offset=1000.0, scale=0.01, seed=1)
@example(height=3, width=7, density=0.95, offset=1000.0, scale=0.01, seed=2)
def test_equal_to_esda(height, width, density, offset, scale, seed):
    generator = np.random.default_rng(seed)
    patches = height * width
    values = (generator.gamma(1, size=patches) * scale + offset).astype(np.float32)
    values[generator.permutation(patches)[max(1, round(density * patches)) :]] = 0
    expected = reference(values, (height, width))
    np.testing.assert_allclose(sparse(values, (height, width)), expected, atol=1e-8, rtol=0)
    np.testing.assert_allclose(dense(values, (height, width)), expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("moran", [sparse, dense])
def test_block_is_high_and_permuted_patches_are_at_the_null(moran):
    block = np.zeros(GRID, np.float32)
    block[3:8, 5:11] = 2
    queen, rook = moran(block.ravel(), GRID)
    assert queen > 0.7
    assert rook > 0.7
    generator = np.random.default_rng(0)
    permuted = np.array([moran(generator.permutation(block.ravel()), GRID) for _ in range(400)])
    error = permuted.std(axis=0) / np.sqrt(len(permuted))
    assert null(196) == -1 / 195
    assert (np.abs(permuted.mean(axis=0) - null(196)) < 4 * error).all()
    assert (error < 0.003).all()


@pytest.mark.parametrize("moran", [sparse, dense])
def test_checkerboard_is_minus_one_by_rook_only(moran):
    row, column = np.indices(GRID)
    queen, rook = moran(((row + column) % 2).astype(np.float32).ravel(), GRID)
    assert rook == pytest.approx(-1, abs=1e-12)
    assert abs(queen) < 0.1


@pytest.mark.parametrize("moran", [sparse, dense])
def test_undefined_unless_the_variance_exceeds_the_floor(moran):
    values = np.zeros(16, np.float32)
    values[:8] = 2  # variance 1
    assert not np.isnan(moran(values, (4, 4), floor=0.999)).any()
    assert np.isnan(moran(values, (4, 4), floor=1.0)).all()
    assert np.isnan(moran(np.zeros(16, np.float32), (4, 4))).all()
    assert np.isnan(moran(np.full(16, 3, np.float32), (4, 4))).all()


def test_sum_evaluable_counts_maps_with_enough_active_patches():
    moran = torch.tensor([[0.5, 0.25, torch.nan], [0.1, 0.2, torch.nan]]).double()[:, :, None]
    active = torch.tensor([[5], [4], [9]])
    sums, images = sum_evaluable(moran, active, [1, 5, 6])
    assert sums[:, :, 0].tolist() == [[0.75, 0.5, 0.0], pytest.approx([0.3, 0.1, 0.0])]
    assert images[:, 0].tolist() == [2, 1, 0]
    sums, images = sum_evaluable(moran, active, [])
    assert (sums.shape, images.shape) == ((2, 0, 1), (0, 1))
