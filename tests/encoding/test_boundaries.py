"""Where a rule of the passes begins to hold: floors, minima, and units of per-token SAEs."""

import numpy as np
import pytest
import torch

from visae.encoding import kernels
from visae.encoding.dense_moran import dense_moran, sum_evaluable
from visae.encoding.encoders import DenseEncoder, SparseEncoder, _errors, _half
from visae.encoding.largest import TOP, LargestCodes
from visae.encoding.moran import Neighbours
from visae.encoding.reductions import half_codes
from visae.encoding.sae_pass import _conversion, _shared_statistics, _targets
from visae.sae.model import INPUT_NORMALISATIONS, SELECTIONS, SparseAutoencoder


def model(mean=0.5, std=2.0, **changes):
    random = torch.Generator().manual_seed(3)
    weight = torch.nn.functional.normalize(torch.randn(10, 5, generator=random), dim=1)
    return SparseAutoencoder(
        weight, torch.full((10,), 0.02), weight.flip(0), torch.tensor(0.25), torch.full((5,), mean),
        torch.tensor(std), **changes,
    )  # fmt: skip


TOKENS = 0.7 + torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(1))
MEAN, STD = np.linspace(-1, 1, 5), 3.0


@pytest.mark.parametrize("statistics", [None, (MEAN, STD)])
@pytest.mark.parametrize("kind", INPUT_NORMALISATIONS)
def test_saes_that_normalise_tokens_are_measured_in_common_units(kind, statistics):
    """Those of the study's statistics; of the activations as they are where there are none."""
    sae = model(input_normalisation=kind)
    targets = _targets(sae, statistics)(TOKENS.half())
    if kind == "none":
        assert targets is None
        return
    mean, std = (torch.zeros(5), 1.0) if statistics is None else (torch.tensor(MEAN).float(), STD)
    tokens = TOKENS.half().float()
    torch.testing.assert_close(targets.activations, (tokens - mean) / std)
    x = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(2))
    restored = (sae.denormalise(x, tokens) - mean) / std
    torch.testing.assert_close(targets.restored(x), restored)
    squares, residual, largest = targets.compared(x)
    left = ((tokens - mean) / std).double() - restored
    assert squares == pytest.approx(float((left**2).sum()))
    assert residual == pytest.approx(float(left.sum()))
    np.testing.assert_allclose(largest, restored.amax(dim=1), rtol=1e-6)


def unit(sae):
    return SparseEncoder(sae, (2, 3), [1], 1e-8)(sae.normalise(TOKENS))


@pytest.mark.parametrize("kind", INPUT_NORMALISATIONS)
@pytest.mark.parametrize("statistics", [None, (MEAN, STD), (np.full(5, 0.5), 2.0)])
def test_units_of_other_statistics_are_converted(kind, statistics):
    sae = model(input_normalisation=kind)
    found = unit(sae)
    converted = _conversion(sae, statistics)(found)
    if statistics is None or kind != "none":
        assert converted is found
        return
    mean, std = statistics
    activations = TOKENS.double().numpy()
    own = (activations - 0.5) / 2
    codes = sae.encode(torch.from_numpy(own).float())
    restored = sae.decode(codes).double().numpy() * 2 + 0.5
    left = (activations - restored) / std
    assert converted.squared_error == pytest.approx((left**2).sum(), rel=1e-5)
    assert converted.residual_sum == pytest.approx(left.sum(), rel=1e-4)
    expected = ((restored - mean) / std).max(axis=1)
    np.testing.assert_allclose(converted.reconstructions_max, expected, rtol=1e-4, atol=1e-5)
    assert converted.firing_count is found.firing_count
    if std == 2:
        assert converted.squared_error == found.squared_error
        np.testing.assert_array_equal(converted.reconstructions_max, found.reconstructions_max)


def test_normalisations_are_shared_by_saes_of_equal_statistics():
    saes = {
        "a": model(), "mean": model(mean=0.6), "b": model(), "std": model(std=2.1),
        "token": model(input_normalisation="layer_norm"), "mean too": model(mean=0.6),
        "token too": model(input_normalisation="layer_norm"),
    }  # fmt: skip
    assert _shared_statistics(saes) == {
        "a": "a", "mean": "mean", "b": "a", "std": "std", "token": "token", "mean too": "mean",
        "token too": "token",
    }  # fmt: skip


@pytest.mark.parametrize("minima", [[], [0], [3, 1], [6], [7]])
@pytest.mark.parametrize("rule", ["threshold", *SELECTIONS])
def test_both_encoders_reduce_the_codes_of_the_model(rule, minima):
    """By their magnitude, of rules whose codes may be negative; x̂ has their sign."""
    sae = model(activation=rule, k=2)
    x = sae.normalise(TOKENS)
    codes = sae.encode(x)
    size = codes.abs().numpy()
    reconstruction = sae.decode(codes)
    for encoder in (SparseEncoder, DenseEncoder):
        found = encoder(sae, (2, 3), minima, 1e-8)(x)
        np.testing.assert_allclose(found.codes_max, size.max(axis=1), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found.codes_half, half_codes(found.codes_max))
        np.testing.assert_array_equal(found.firing_count, (size > 0).sum(axis=(0, 1)))
        squares, residual = _errors(x, reconstruction)
        assert found.squared_error == pytest.approx(squares, rel=1e-5)
        assert found.residual_sum == pytest.approx(residual, rel=1e-3, abs=1e-4)
        expected = reconstruction.amax(dim=1)
        np.testing.assert_allclose(found.reconstructions_max, expected, rtol=1e-4, atol=1e-5)
        moran = dense_moran(torch.from_numpy(size), (2, 3), 1e-8)
        sums, images = sum_evaluable(moran, torch.from_numpy(size > 0).sum(dim=1), minima)
        assert found.moran_sum.shape == (2, len(minima), 10)
        np.testing.assert_array_equal(found.moran_images, images)
        np.testing.assert_allclose(found.moran_sum, sums, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm"])
@pytest.mark.parametrize("rule", ["threshold", "abs_topk"])
def test_both_encoders_compare_in_common_units_what_each_token_was_normalised_by(kind, rule):
    sae = model(input_normalisation=kind, activation=rule, k=3)
    tokens = TOKENS.half()
    targets, x = _targets(sae, (MEAN, STD))(tokens), sae.normalise(tokens)
    reconstruction = sae.decode(sae.encode(x))
    squares, residual, largest = targets.compared(reconstruction)
    assert squares > 1
    for encoder in (SparseEncoder, DenseEncoder):
        found = encoder(sae, (2, 3), [1], 1e-8)(x, targets)
        assert found.squared_error == pytest.approx(squares, rel=1e-5)
        assert found.residual_sum == pytest.approx(residual, rel=1e-3, abs=1e-4)
        np.testing.assert_allclose(found.reconstructions_max, largest, rtol=1e-4, atol=1e-5)


def moran_by_definition(values, grid, diagonal):
    """Eq. 2, pair by pair."""
    height, width = grid
    z = values - values.mean()
    total = weights = 0
    for a in range(height * width):
        for b in range(height * width):
            down, right = abs(a // width - b // width), abs(a % width - b % width)
            if a != b and max(down, right) == 1 and (diagonal or down + right == 1):
                total, weights = total + z[a] * z[b], weights + 1
    return len(values) / weights * total / (z**2).sum()


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (4, 3)])
def test_maps_have_one_column_and_one_row_of_zeros_more(grid):
    """A place outside of the map would be read without an error."""
    height, width = grid
    neighbours = Neighbours.of_grid(grid)
    whole = np.arange((height + 1) * (width + 1)).reshape(height + 1, width + 1)
    assert neighbours.position.tolist() == whole[:-1, :-1].ravel().tolist()
    assert neighbours.padded_map().tolist() == [0.0] * whole.size
    assert neighbours.stride == width + 1
    assert neighbours.patches == height * width


@pytest.mark.parametrize("grid", [(2, 2), (2, 3), (4, 3), (3, 5)])
def test_coherence_is_that_of_the_definition_on_any_grid(grid):
    random, patches = np.random.default_rng(0), grid[0] * grid[1]
    neighbours = Neighbours.of_grid(grid)
    padded = neighbours.padded_map()
    for active in (1, 2, patches - 1, patches):
        values = np.zeros(patches)
        chosen = np.sort(random.choice(patches, active, replace=False))
        values[chosen] = random.random(active) + 0.1
        expected = [moran_by_definition(values, grid, diagonal) for diagonal in (True, False)]
        codes = [9.0, *values[chosen], 9.0], [0, *chosen, 0]  # others' before and behind
        given = np.array(codes[1]), np.array(codes[0]), 1, active + 1, padded, neighbours
        found = kernels.map_moran(*given, 1e-8)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        assert not padded.any()
        maps = torch.from_numpy(values)[None, :, None]
        np.testing.assert_allclose(dense_moran(maps, grid, 1e-8)[:, 0, 0], expected, atol=1e-9)
        variance = values.var()
        for floor, defined in ((variance * 0.99, True), (variance * 1.01, False)):
            queen, rook = kernels.map_moran(*given, floor)
            assert np.isnan(queen) == np.isnan(rook) == (not defined)
            assert np.isnan(dense_moran(maps, grid, floor)).any().item() == (not defined)


def test_maps_count_for_the_minima_that_they_reach():
    sums, images = np.zeros((2, 3, 2)), np.zeros((3, 2), np.int64)
    for queen, rook, active in ((0.5, 0.25, 2), (1.0, 2.0, 5), (np.nan, np.nan, 9), (0.5, 0.5, 1)):
        kernels.add_evaluable(queen, rook, active, np.array([5, 2, 1]), 1, sums, images)
    assert images.T.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert sums[:, :, 1].tolist() == [[1.0, 1.5, 2.0], [2.0, 2.25, 2.75]]
    assert not sums[:, :, 0].any()


@pytest.mark.parametrize("width", [1, 63, 64, 65, 130])
def test_decoders_are_cut_into_slices_of_64(width):
    decoder = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
    found = kernels.sliced(decoder)
    assert found.shape == (-(-width // 64), 3, 64)
    together = found.transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_array_equal(together[:, :width], decoder)
    assert not together[:, width:].any()


@pytest.mark.parametrize("images", [3, TOP, 40])
def test_the_largest_codes_are_kept_in_their_order(images):
    codes = np.random.default_rng(0).integers(0, 5, (images, 4)).astype(np.float32)
    codes[:, 0] = 0
    found = LargestCodes.of_none(4, images)
    for start in range(0, images, 7):
        found.add(codes[start : start + 7], start)
    kept = min(images, TOP)
    order = np.argsort(-codes.T, axis=1, kind="stable")[:, :kept]
    np.testing.assert_array_equal(found.images, order)
    np.testing.assert_array_equal(found.codes, np.take_along_axis(codes.T, order, axis=1))
    np.testing.assert_array_equal(found.least, codes.min(axis=0))
    assert found.live.tolist() == [False, True, True, True]


def test_codes_in_float16_stay_positive_and_finite():
    codes = torch.tensor([0.0, 1e-9, 2.0**-25, 2.0**-24, 1.0, 65504.0, 1e6])
    expected = [0, 2.0**-24, 2.0**-24, 2.0**-24, 1, 65504, 65504]
    assert _half(codes).tolist() == expected
    assert half_codes(codes.numpy()).tolist() == expected


@pytest.mark.parametrize("patches", [1, 5])
@pytest.mark.parametrize("width", [1, 7, 16, 63, 64, 65, 129])
def test_codes_are_decoded_at_any_width_and_nothing_else_is_written(width, patches):
    random, images, features = np.random.default_rng(0), 2, 6
    codes_nfp = random.normal(size=(images, features, patches)).astype(np.float32)
    codes_nfp[:, 1] = codes_nfp[0, 3:] = 0
    decoder = random.normal(size=(features, width)).astype(np.float32)
    x_npd = random.normal(size=(images, patches, width)).astype(np.float32)
    codes = kernels.ActiveCodes(images, patches, features)
    for image, codes_fp in enumerate(codes_nfp):
        active, patch = codes_fp.nonzero()
        codes.patch[image, : len(patch)] = patch
        codes.value[image, : len(patch)] = codes_fp[active, patch]
        codes.end[image, 1:] = np.cumsum((codes_fp != 0).sum(axis=1))
    slices = kernels.sliced(decoder)
    around = np.full((images + 2, len(slices), patches, kernels.DECODE_WIDTH), 7, np.float32)
    largest = np.full((images, width + 1), 7, np.float32)
    arrays = codes.patch, codes.value, codes.end, around[1:-1], largest[:, :width]
    squares, residual = kernels.decode(x_npd, slices, *arrays)
    found = around[1:-1].swapaxes(1, 2).reshape(images, patches, -1)
    expected = codes_nfp.swapaxes(1, 2).astype(np.float64) @ decoder
    np.testing.assert_allclose(found[..., :width], expected, atol=1e-5)
    assert not found[..., width:].any()
    assert (around[[0, -1]] == 7).all()
    assert (largest[:, width] == 7).all()
    np.testing.assert_array_equal(largest[:, :width], found[..., :width].max(axis=1))
    left = x_npd - found[..., :width].astype(np.float64)
    assert squares == pytest.approx((left**2).sum(), rel=1e-12)
    assert residual == pytest.approx(left.sum(), rel=1e-9)
