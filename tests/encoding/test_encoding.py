"""The encoding pass: equal to a slow explicit one, whatever the shards, chunks and threads."""

import os
from dataclasses import fields, replace
from itertools import accumulate, pairwise
from types import SimpleNamespace

import esda
import h5py
import libpysal
import numpy as np
import pytest
import torch
from cache_fixtures import random_activations, write_cache
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_fixtures import CODES

from visae.activations.cache import ActivationCache
from visae.activations.source import Activations
from visae.base.errors import UserError
from visae.base.sparse_hdf5 import SparseDataset
from visae.encoding import raw_pass, reductions
from visae.encoding.encoders import DenseEncoder, SparseEncoder
from visae.encoding.raw_pass import reduce_raw
from visae.encoding.reductions import RawReductions, SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.sae.model import SparseAutoencoder

GRID, PATCHES, MINIMA = (3, 4), 12, (1, 5, 8)


def exact_activations(images=11, width=70, seed=0):
    """Small multiples of 1/4, so that float32 products with small integers are exact."""
    generator = np.random.default_rng(seed)
    return (generator.integers(-8, 9, (images, PATCHES, width)) / 4).astype(np.float16)


def exact_sae(features=23, width=70, threshold=3.0, seed=0):
    """An SAE whose codes are exact for `exact_activations` (mean 1/2, std 2)."""
    generator = torch.Generator().manual_seed(seed)
    decoder = torch.randn(features, width, generator=generator)
    return SparseAutoencoder(
        encoder_weight=torch.randint(-1, 2, (features, width), generator=generator).float(),
        encoder_bias=torch.randint(-1, 2, (features,), generator=generator).float(),
        decoder_weight=torch.nn.functional.normalize(decoder, dim=1),
        threshold=torch.as_tensor(threshold),
        activation_mean=torch.full((width,), 0.5),
        activation_std=torch.tensor(2.0),
    )


def random_sae(features=23, width=9, threshold=3.0):
    """An SAE whose products are rounded."""
    sae = exact_sae(features, width, threshold)
    weight = torch.randn(features, width, generator=torch.Generator().manual_seed(1))
    return replace(sae, encoder_weight=weight)


def signed_identity(width, mean=None, std=None, threshold=0.0):
    """An SAE whose codes are the positive and negative parts of x: it reconstructs exactly."""
    eye = torch.eye(width)
    weight = torch.cat([eye, -eye])
    return SparseAutoencoder(
        encoder_weight=weight,
        encoder_bias=torch.zeros(2 * width),
        decoder_weight=weight.clone(),
        threshold=torch.tensor(threshold),
        activation_mean=torch.zeros(width) if mean is None else torch.tensor(mean).float(),
        activation_std=torch.tensor(1.0) if std is None else torch.tensor(std).float(),
    )


def encode(folder, activations, sae, shards=1, chunk_images=4, name="sae", **options):
    """The path of the reductions of `sae` over a cache made of `activations`."""
    joined = write_cache(
        folder, activations, shards=shards, statistics=False, chunk_images=chunk_images
    )
    output = folder / f"{name}.h5"
    options = {"sae_fingerprints": {name: "f"}, "minimum_active": MINIMA} | options
    with ActivationCache(joined) as cache:
        encode_activations(cache, {name: sae}, {name: output}, **options)
    return output


def contents(path):
    """All arrays and attributes of an HDF5 file, as bytes."""
    with h5py.File(path) as file:
        # Checksums are of chunks, whose sizes the tests change.
        aside = ("image_ids", "codes_max", "reconstructions_max_crc32")
        arrays = {name: file[name][()] for name in file if name not in aside}
        if "codes_max" in file:
            arrays["codes_max"] = SparseDataset(file, "codes_max", CODES)[:]
        attributes = {name: np.asarray(value).tobytes() for name, value in file.attrs.items()}
    # The fingerprint of a cache covers its chunk size, which the tests change.
    attributes.pop("cache_fingerprint")
    del attributes["seal"]  # whose digest is also of that fingerprint
    return attributes, {name: (value.shape, value.tobytes()) for name, value in arrays.items()}


@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("feature_block", [8, 256])
def test_equal_to_a_slow_explicit_pass(tmp_path, monkeypatch, per_feature, feature_block):
    monkeypatch.setattr(SparseEncoder, "feature_block", feature_block)
    # Thresholds that are met exactly (codes are multiples of 1/8), and one below zero.
    threshold = np.linspace(-1, 10, 23).round().astype(np.float32) if per_feature else 2.5
    activations, sae = exact_activations(), exact_sae(threshold=threshold)
    x = (activations.astype(np.float64) - 0.5) / 2
    pre = x @ sae.encoder_weight.double().numpy().T + sae.encoder_bias.double().numpy()
    codes = np.where((pre > 0) & (pre >= threshold), pre, 0)
    if not per_feature:
        assert (codes == 2.5).any()
    reconstructions = codes @ sae.decoder_weight.double().numpy()
    moran_sum, moran_images = np.zeros((2, 3, 23)), np.zeros((3, 23), int)
    weights = [libpysal.weights.lat2W(*GRID, rook=rook) for rook in (False, True)]
    for image in range(len(codes)):
        for feature in range(23):
            values = codes[image, :, feature]
            if values.var() <= 1e-8:
                continue
            moran = [esda.Moran(values, w, transformation="B", permutations=0).I for w in weights]
            for m, minimum in enumerate(MINIMA):
                if (values > 0).sum() >= minimum:
                    moran_sum[:, m, feature] += moran
                    moran_images[m, feature] += 1
    assert (np.diff(moran_images.sum(axis=1)) < 0).all()
    assert moran_images[-1].any()

    with SaeReductions(encode(tmp_path, activations, sae)) as read:
        np.testing.assert_array_equal(read.codes[:], codes.max(axis=1).T.astype(np.float16))
        np.testing.assert_array_equal(read.firing_count, (codes > 0).sum(axis=(0, 1)))
        np.testing.assert_array_equal(read.largest.codes[:, 0], codes.max(axis=(0, 1)))
        np.testing.assert_array_equal(read.moran_images, moran_images)
        np.testing.assert_allclose(read.moran_sum, moran_sum, atol=1e-8 * len(codes))
        assert read.l0_sum == (codes > 0).sum()
        np.testing.assert_allclose(
            read.reconstructions_max(), reconstructions.max(axis=1), atol=2e-5
        )
        np.testing.assert_allclose(
            read.squared_error, ((x - reconstructions) ** 2).sum(), rtol=1e-6
        )
        np.testing.assert_allclose(read.residual_sum, (x - reconstructions).sum(), atol=1e-2)


def test_pass_agrees_with_the_model(tmp_path):
    activations = random_activations(width=70)
    sae = random_sae(width=70, threshold=4.0)
    x = sae.normalise(torch.from_numpy(activations))
    codes = sae.encode(x)
    with SaeReductions(encode(tmp_path, activations, sae)) as read:
        expected = codes.amax(dim=1).T.numpy()
        np.testing.assert_allclose(read.codes[:], expected, rtol=1e-3)
        squares = float(((x.double() - sae.decode(codes).double()) ** 2).sum())
        np.testing.assert_allclose(read.squared_error, squares, rtol=1e-5)


@pytest.mark.parametrize("minima", [MINIMA, ()])
def test_dense_and_sparse_encoders_agree(monkeypatch, minima):
    monkeypatch.setattr(DenseEncoder, "feature_block", 9)
    sae = exact_sae()
    x = sae.normalise(torch.from_numpy(exact_activations(images=5)))
    dense, sparse = (
        encoder(sae, GRID, minima, 1e-8)(x) for encoder in (DenseEncoder, SparseEncoder)
    )
    for name in ("codes_max", "codes_half", "firing_count", "moran_images"):
        np.testing.assert_array_equal(getattr(dense, name), getattr(sparse, name))
        assert getattr(dense, name).dtype == getattr(sparse, name).dtype
    assert dense.moran_sum.shape == sparse.moran_sum.shape == (2, len(minima), 23)
    np.testing.assert_allclose(dense.moran_sum, sparse.moran_sum, atol=1e-10)
    np.testing.assert_allclose(dense.reconstructions_max, sparse.reconstructions_max, atol=1e-5)
    np.testing.assert_allclose(dense.squared_error, sparse.squared_error, rtol=1e-6)
    np.testing.assert_allclose(dense.residual_sum, sparse.residual_sum, rtol=1e-5, atol=1e-3)


def test_shards_chunks_blocks_and_threads_change_no_bit(tmp_path, monkeypatch):
    activations = random_activations(images=27, width=9)
    sae = random_sae()
    first = contents(encode(tmp_path / "first", activations, sae))
    variants = [(2, 4, 2), (9, 3, 1), (1, 64, 3)]
    for number, (shards, chunk_images, threads) in enumerate(variants):
        monkeypatch.setattr(reductions, "BLOCK_IMAGES", 5 + number)
        options = {"shards": shards, "chunk_images": chunk_images, "threads": threads}
        other = encode(tmp_path / str(number), activations, sae, **options)
        assert contents(other) == first


def test_several_saes_in_one_pass_are_as_each_alone(tmp_path):
    activations = random_activations(images=9, width=9)
    saes = {"small": exact_sae(5, 9), "large": exact_sae(17, 9, torch.linspace(0, 3, 17))}
    saes["elsewhere"] = replace(saes["small"], activation_mean=torch.linspace(0, 1, 9))
    outputs = {name: tmp_path / "both" / f"{name}.h5" for name in saes}
    with ActivationCache(write_cache(tmp_path, activations, statistics=False)) as cache:
        encode_activations(
            cache,
            saes,
            outputs,
            sae_fingerprints=dict.fromkeys(saes, "f"),
            minimum_active=MINIMA,
            attributes={"code": "c0de"},
        )
    for name, sae in saes.items():
        options = {"name": name, "attributes": {"code": "c0de"}}
        alone = encode(tmp_path / name, activations, sae, **options)
        assert contents(outputs[name]) == contents(alone)


def test_units_are_counted_from_the_first_image(tmp_path):
    numbers = np.broadcast_to(np.arange(22)[:, None, None], (22, PATCHES, 5))
    for chunk_images in (3, 4, 5, 64):
        folder = tmp_path / str(chunk_images)
        joined = write_cache(folder, numbers, chunk_images=chunk_images, statistics=False)
        with ActivationCache(joined) as cache:
            units = [unit[:, 0, 0].tolist() for unit in cache.image_units(4)]
        assert units == [list(range(start, min(start + 4, 22))) for start in range(0, 22, 4)]


def test_blocks_are_coherent_and_permuted_patches_are_at_the_null(tmp_path):
    generator = np.random.default_rng(0)
    maps = np.zeros((40, 14, 14, 2), np.float16)
    for image, (row, column) in enumerate(generator.integers(0, 9, (40, 2))):
        maps[image, row : row + 5, column : column + 5] = 1 + image / 40
    maps = maps.reshape(40, 196, 2)
    maps[:, :, 1] = generator.permuted(maps[:, :, 1], axis=1)
    joined = write_cache(tmp_path, maps, statistics=False, grid=(14, 14))
    with ActivationCache(joined) as cache:
        encode_activations(
            cache,
            {"identity": signed_identity(2)},
            {"identity": tmp_path / "out.h5"},
            sae_fingerprints={"identity": "f"},
        )
    with SaeReductions(tmp_path / "out.h5") as read:
        mean = read.moran_sum / np.maximum(read.moran_images, 1)
        assert (read.moran_images[:, :2] == 40).all()
        assert (mean[:, :, 0] > 0.7).all()
        np.testing.assert_allclose(mean[:, :, 1], -1 / 195, atol=0.02)
        # The negative parts never fire, and no map of theirs is evaluable.
        assert read.firing_count[2:].tolist() == [0, 0]
        assert not read.moran_images[:, 2:].any()


def test_fvu_is_one_for_the_mean_and_zero_for_the_identity(tmp_path):
    activations = random_activations(images=30)
    with ActivationCache(write_cache(tmp_path, activations)) as cache:
        saes = {
            "mean": signed_identity(5, cache.mean, cache.std, threshold=1e30),
            "identity": signed_identity(5, cache.mean, cache.std),
        }
        outputs = {name: tmp_path / f"{name}.h5" for name in saes}
        encode_activations(cache, saes, outputs, sae_fingerprints=dict.fromkeys(saes, "f"))
        reduce_raw(cache, cache.mean, cache.std, tmp_path / "raw.h5")
    with RawReductions(tmp_path / "raw.h5") as raw:
        total = raw.total_squares
    with SaeReductions(outputs["mean"]) as mean, SaeReductions(outputs["identity"]) as identity:
        assert mean.squared_error / total == pytest.approx(1, abs=1e-12)
        assert mean.l0_sum == 0
        assert identity.squared_error == 0


def test_an_sae_with_statistics_of_its_own_is_measured_in_the_units_of_the_raw_activations(
    tmp_path,
):
    """FVU and pooled reconstructions of an imported SAE against Eq. 4 on the activations."""
    activations = random_activations(images=9, width=9)
    mean, std = np.linspace(0.5, 2, 9), 1.7
    sae = random_sae()  # trained with mean 0.5 and std 2
    with ActivationCache(write_cache(tmp_path, activations, statistics=False)) as cache:
        reduce_raw(cache, mean, std, tmp_path / "raw.h5")
        encode_activations(
            cache,
            {"sae": sae},
            {"sae": tmp_path / "sae.h5"},
            sae_fingerprints={"sae": "f"},
            statistics=(mean, std),
        )
    tokens = torch.from_numpy(activations).double()
    double = SparseAutoencoder(*(tensor.double() for tensor in sae.tensors().values()))
    reconstructed = double.denormalise(double.decode(sae.encode(sae.normalise(tokens)).double()))
    flat = tokens.flatten(0, 1)
    fvu = (tokens - reconstructed).square().sum() / (flat - flat.mean(0)).square().sum()
    residual = float((tokens - reconstructed).sum()) / std
    pooled = ((reconstructed.numpy() - mean) / std).max(axis=1)
    with RawReductions(tmp_path / "raw.h5") as raw, SaeReductions(tmp_path / "sae.h5") as read:
        assert read.squared_error / raw.total_squares == pytest.approx(float(fvu), rel=1e-5)
        assert read.residual_sum == pytest.approx(residual, rel=1e-4)
        np.testing.assert_allclose(read.reconstructions_max(), pooled, atol=1e-5)


def test_raw_reductions_are_those_of_float64(tmp_path):
    activations = random_activations(images=10)
    mean, std = np.array([1.5, 2, 3, 4, 5]), 1.25
    with ActivationCache(write_cache(tmp_path, activations, statistics=False)) as cache:
        reduce_raw(cache, mean, std, tmp_path / "raw.h5", minimum_active=[5, 13], threads=2)
    x = (activations.astype(np.float64) - mean) / std
    tokens = x.reshape(-1, 5)
    moran = np.zeros((2, 5))
    for row, rook in enumerate((False, True)):
        weights = libpysal.weights.lat2W(*GRID, rook=rook)
        for channel in range(5):
            moran[row, channel] = sum(
                esda.Moran(x[image, :, channel], weights, transformation="B", permutations=0).I
                for image in range(10)
            )
    with RawReductions(tmp_path / "raw.h5") as raw:
        np.testing.assert_allclose(raw.features_max(), x.max(axis=1), rtol=1e-6)
        embeddings = activations.astype(np.float64).mean(axis=1)
        np.testing.assert_allclose(raw.embeddings(), embeddings, rtol=1e-7)
        np.testing.assert_allclose(raw.token_mean, tokens.mean(axis=0), atol=1e-7)
        squares = ((tokens - tokens.mean(axis=0)) ** 2).sum()
        np.testing.assert_allclose(raw.total_squares, squares, rtol=1e-6)
        # All patches are active: 5 of 12 are reached in every image, 13 in none.
        assert raw.moran_images.tolist() == [[10] * 5, [0] * 5]
        np.testing.assert_allclose(raw.moran_sum[:, 0], moran, atol=1e-6)


def test_raw_reductions_do_not_depend_on_shards(tmp_path):
    activations = random_activations(images=27)
    files = []
    for shards, chunk_images, threads, minima in [(1, 4, 1, [5]), (3, 3, 2, [5]), (1, 64, 1, [])]:
        folder = tmp_path / str(chunk_images)
        joined = write_cache(
            folder, activations, shards=shards, chunk_images=chunk_images, statistics=False
        )
        with ActivationCache(joined) as cache:
            reduce_raw(
                cache,
                np.zeros(5),
                2.0,
                folder / "raw.h5",
                minimum_active=minima,
                threads=threads,
            )
        files.append(contents(folder / "raw.h5"))
    assert files[0] == files[1]
    without_moran = [
        {name: value for name, value in arrays.items() if not name.startswith("moran")}
        for _, arrays in files
    ]
    assert without_moran[0] == without_moran[2]
    assert files[2][1]["moran_sum"] == ((2, 0, 5), b"")


def test_saes_that_do_not_fit_are_refused(tmp_path):
    def encode_with(cache, **saes):
        outputs = {name: tmp_path / "out" / f"{name}.h5" for name in saes}
        encode_activations(cache, saes, outputs, sae_fingerprints=dict.fromkeys(saes, "f"))

    activations = random_activations()
    with ActivationCache(write_cache(tmp_path, activations)) as cache:
        fitting = signed_identity(5, cache.mean, cache.std)
        shifted = signed_identity(5, cache.mean + 0.1, cache.std)
        with pytest.raises(UserError, match="wide takes activations of width 6"):
            encode_with(cache, fitting=fitting, wide=signed_identity(6))
        with pytest.raises(UserError, match="SAE shifted are not those of"):
            encode_with(cache, shifted=shifted)
        with pytest.raises(UserError, match="cannot normalise"):
            encode_with(cache, broken=replace(fitting, activation_std=torch.tensor(0.0)))
    evaluation = write_cache(tmp_path / "evaluation", activations, statistics=False)
    with ActivationCache(evaluation) as cache, pytest.raises(UserError, match="cannot normalise"):
        reduce_raw(cache, np.zeros(4), 1.0, tmp_path / "out" / "raw.h5")
    assert not (tmp_path / "out").exists()


def test_damaged_chunk_leaves_no_output(tmp_path):
    joined = write_cache(tmp_path, random_activations(images=27), shards=2)
    with h5py.File(sorted((tmp_path / "train").glob("*.h5"))[1], "r+") as file:
        file["activations"][-1] += 1
    with ActivationCache(joined) as cache, pytest.raises(UserError, match="CRC-32"):
        encode_activations(
            cache,
            {"sae": signed_identity(5, cache.mean, cache.std)},
            {"sae": tmp_path / "out" / "sae.h5"},
            sae_fingerprints={"sae": "f"},
        )
    assert os.listdir(tmp_path / "out") == []


# ------------------------------------------------------- units: 4 images on the CPU, 16 on CUDA

OF_IMAGES = ("codes_max", "codes_half", "reconstructions_max")
"""Fields of an `SaeUnit` with a row for each image; the others are sums."""
ENCODERS = (SparseEncoder, DenseEncoder)
SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(chunks=SIZES, unit_images=st.integers(1, 20))
def test_units_are_the_images_in_order_whatever_the_chunks(chunks, unit_images):
    edges = [0, *accumulate(chunks)]
    images = np.arange(edges[-1])
    source = SimpleNamespace(
        chunks=[*pairwise(edges)], read_chunk=lambda number: images[slice(*source.chunks[number])]
    )
    units = [*Activations.image_units(source, unit_images)]
    assert np.concatenate(units).tolist() == images.tolist()
    assert {len(unit) for unit in units[:-1]} <= {unit_images}
    assert 0 < len(units[-1]) <= unit_images


def of_units(encoder, x_npd, sizes):
    """The fields of an `SaeUnit` of all images, encoded in units of some sizes."""
    parts = [encoder(part.contiguous()) for part in x_npd.split(sizes)]
    return {
        each.name: (np.concatenate if each.name in OF_IMAGES else sum)(
            [getattr(part, each.name) for part in parts]
        )
        for each in fields(parts[0])
    }


@pytest.mark.parametrize("encoder_type", ENCODERS)
@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 2**16), per_feature=st.booleans())
def test_units_of_any_size_give_the_same_where_products_are_exact(
    encoder_type, sizes, seed, per_feature
):
    """Codes, counts and which images count to the bit; sums and reconstructions are rounded."""
    threshold = np.linspace(-1, 10, 23).round().astype(np.float32) if per_feature else 2.5
    sae = exact_sae(threshold=threshold, seed=seed)
    x = sae.normalise(torch.from_numpy(exact_activations(sum(sizes), seed=seed)))
    encoder = encoder_type(sae, GRID, MINIMA, 1e-8)
    whole, cut = (of_units(encoder, x, each) for each in ([sum(sizes)], sizes))
    for name in ("codes_max", "codes_half", "firing_count", "moran_images"):
        np.testing.assert_array_equal(cut[name], whole[name])
    if encoder_type is SparseEncoder:  # which decodes token by token
        np.testing.assert_array_equal(cut["reconstructions_max"], whole["reconstructions_max"])
    _assert_near(cut, whole)


@pytest.mark.parametrize("encoder_type", ENCODERS)
@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 2**16))
def test_units_of_any_size_give_the_same_within_float32_rounding(encoder_type, sizes, seed):
    """A code may lie on the other side of the threshold only where it is as near as that."""
    activations, sae = random_activations(images=sum(sizes), width=9, seed=seed), random_sae()
    x = sae.normalise(torch.from_numpy(activations))
    exact = x.double() @ sae.encoder_weight.double().T + sae.encoder_bias.double()
    doubtful = ((exact - sae.threshold.double()).abs() < 1e-5).sum(dim=(0, 1)).numpy()
    encoder = encoder_type(sae, GRID, MINIMA, 1e-8)
    whole, cut = (of_units(encoder, x, each) for each in ([sum(sizes)], sizes))
    assert (abs(cut["firing_count"] - whole["firing_count"]) <= doubtful).all()
    if not doubtful.any():
        np.testing.assert_array_equal(cut["moran_images"], whole["moran_images"])
        _assert_near(cut, whole)


def _assert_near(found, expected):
    np.testing.assert_allclose(found["codes_max"], expected["codes_max"], rtol=1e-5, atol=1e-5)
    half = np.abs(found["codes_half"].astype(float) - expected["codes_half"].astype(float))
    assert (half <= 1e-3 * np.abs(expected["codes_max"]) + 1e-5).all()  # one step of float16
    maxima = (each["reconstructions_max"] for each in (found, expected))
    np.testing.assert_allclose(*maxima, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(found["squared_error"], expected["squared_error"], rtol=1e-6)
    np.testing.assert_allclose(
        found["residual_sum"], expected["residual_sum"], rtol=1e-5, atol=1e-3
    )
    np.testing.assert_allclose(found["moran_sum"], expected["moran_sum"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unit_images", [1, 3, 16, 100])
def test_a_pass_is_the_same_with_other_units(tmp_path, monkeypatch, unit_images):
    """27 images, of which no unit has a whole number of chunks, and the last unit is smaller."""
    activations, sae = exact_activations(images=27), exact_sae()
    usual = encode(tmp_path / "usual", activations, sae)
    monkeypatch.setattr(SparseEncoder, "unit_images", unit_images)
    other = encode(tmp_path / "other", activations, sae, chunk_images=5, threads=2)
    with SaeReductions(usual) as first, SaeReductions(other) as second:
        for name in ("firing_count", "moran_images"):
            np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
        np.testing.assert_array_equal(second.codes[:], first.codes[:])
        for name in ("codes", "images", "least"):
            ours, theirs = getattr(second.largest, name), getattr(first.largest, name)
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(second.reconstructions_max(), first.reconstructions_max())
        np.testing.assert_allclose(second.squared_error, first.squared_error, rtol=1e-12)
        np.testing.assert_allclose(second.moran_sum, first.moran_sum, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unit_images", [1, 3, 16, 100])
def test_raw_reductions_are_the_same_with_other_units(tmp_path, monkeypatch, unit_images):
    activations = random_activations(images=27, width=9)
    joined = write_cache(tmp_path, activations, chunk_images=5, statistics=False)

    def reduced(name):
        output = tmp_path / f"{name}.h5"
        with ActivationCache(joined) as cache:
            reduce_raw(cache, np.arange(9.0), 1.25, output, minimum_active=MINIMA)
        return output

    usual = reduced("usual")
    monkeypatch.setattr(raw_pass, "UNIT_IMAGES", unit_images)
    with RawReductions(usual) as first, RawReductions(reduced("other")) as second:
        np.testing.assert_array_equal(second.features_max(), first.features_max())
        np.testing.assert_array_equal(second.embeddings(), first.embeddings())
        np.testing.assert_array_equal(second.moran_images, first.moran_images)
        np.testing.assert_allclose(second.token_mean, first.token_mean, rtol=1e-12)
        np.testing.assert_allclose(second.total_squares, first.total_squares, rtol=1e-9)
        np.testing.assert_allclose(second.moran_sum, first.moran_sum, rtol=1e-6, atol=1e-6)
