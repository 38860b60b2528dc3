"""Reductions: what the units add up to is what is read, and nothing half-written is left."""

import os

import h5py
import numpy as np
import pytest
import torch
from cache_fixtures import random_activations, write_cache
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.activations.cache import ActivationCache
from visae.base.errors import UserError
from visae.encoding import encoders, reductions
from visae.encoding.largest import LargestCodes
from visae.encoding.reductions import (
    RawReductions,
    RawUnit,
    SaeReductions,
    SaeUnit,
    half_codes,
    write_raw_reductions,
    write_sae_reductions,
)
from visae.probing.rankings import gather_features

IMAGES, FEATURES, WIDTH, PATCHES = 22, 37, 5, 12
IDENTITY = {"sae": "toy", "sae_fingerprint": "abc"}


@pytest.fixture
def cache(tmp_path):
    with ActivationCache(write_cache(tmp_path, random_activations())) as opened:
        yield opened


def sae_unit(generator, images):
    codes = generator.gamma(1, size=(images, FEATURES)).astype(np.float32)
    codes *= generator.random(codes.shape) < 0.5
    return SaeUnit(
        codes_max=codes,
        codes_half=half_codes(codes),
        reconstructions_max=generator.normal(size=(images, WIDTH)).astype(np.float32),
        firing_count=generator.integers(0, 9, FEATURES),
        squared_error=generator.random(),
        residual_sum=generator.normal(),
        moran_sum=generator.normal(size=(2, 3, FEATURES)),
        moran_images=generator.integers(0, 9, (3, FEATURES)),
    )


def raw_unit(x_npd):
    tokens = x_npd.reshape(-1, WIDTH)
    mean = tokens.mean(axis=0)
    return RawUnit(
        features_max=x_npd.max(axis=1),
        embeddings=x_npd.mean(axis=1),
        tokens=len(tokens),
        token_mean=mean,
        total_squares=((tokens - mean) ** 2).sum(),
        moran_sum=np.ones((2, 1, WIDTH)),
        moran_images=np.full((1, WIDTH), len(x_npd)),
    )


def write_toy(path, cache, sizes=(4, 4, 4, 4, 4, 2)):
    generator = np.random.default_rng(0)
    units = [sae_unit(generator, size) for size in sizes]
    with write_sae_reductions(path, cache, FEATURES, [1, 5, 20], 1e-8, IDENTITY) as writer:
        for unit in units:
            writer.add(unit)
    return units


@pytest.mark.parametrize("block_images", [3, 7, 22, 1024])
def test_round_trip(tmp_path, cache, monkeypatch, block_images):
    monkeypatch.setattr(reductions, "BLOCK_IMAGES", block_images)
    units = write_toy(tmp_path / "toy.h5", cache)
    codes = np.concatenate([unit.codes_max for unit in units])
    with SaeReductions(tmp_path / "toy.h5") as read:
        np.testing.assert_array_equal(read.codes[:], half_codes(codes.T))
        order = np.argsort(-codes, axis=0, kind="stable")[:16].T
        np.testing.assert_array_equal(read.largest.images, order)
        np.testing.assert_array_equal(
            read.largest.codes, np.take_along_axis(codes.T, order, axis=1)
        )
        np.testing.assert_array_equal(read.largest.least, codes.min(axis=0))
        np.testing.assert_array_equal(
            read.reconstructions_max(), np.concatenate([u.reconstructions_max for u in units])
        )
        for name in ("firing_count", "squared_error", "residual_sum", "moran_sum", "moran_images"):
            total = sum(getattr(unit, name) for unit in units)
            np.testing.assert_allclose(getattr(read, name), total, rtol=1e-14)
        assert read.l0_sum == read.firing_count.sum()
        assert (read.sae, read.sae_fingerprint) == ("toy", "abc")
        assert read.cache_fingerprint == cache.fingerprint
        assert (read.images, read.features, read.tokens) == (IMAGES, FEATURES, IMAGES * PATCHES)
        assert (read.grid, read.minimum_active, read.variance_floor) == ((3, 4), [1, 5, 20], 1e-8)
        assert read.image_ids == cache.image_ids
        np.testing.assert_array_equal(read.labels, cache.labels)


@pytest.mark.parametrize(
    "features", [[], [36], [5, 17, 16, 5, 36, 0], np.random.default_rng(0).permutation(37)]
)
def test_codes_of_some_features_in_any_order(tmp_path, cache, features):
    write_toy(tmp_path / "toy.h5", cache)
    with SaeReductions(tmp_path / "toy.h5") as read:
        expected = read.codes[:][np.asarray(features, int)]
        np.testing.assert_array_equal(gather_features(read.codes, features), expected)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=3, max_size=8))
def test_moments_do_not_depend_on_units(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("r")
    x_npd = random_activations(images=sum(sizes), seed=3).astype(np.float64) + 100
    with ActivationCache(write_cache(folder, random_activations(images=sum(sizes)))) as cache:
        with write_raw_reductions(folder / "raw.h5", cache, [5], 1e-8, {}) as writer:
            for part in np.split(x_npd, np.cumsum(sizes)[:-1]):
                writer.add(raw_unit(part))
        tokens = x_npd.reshape(-1, WIDTH)
        with RawReductions(folder / "raw.h5") as read:
            np.testing.assert_allclose(read.token_mean, tokens.mean(axis=0), rtol=1e-13)
            squares = ((tokens - tokens.mean(axis=0)) ** 2).sum()
            np.testing.assert_allclose(read.total_squares, squares, rtol=1e-12)
            np.testing.assert_array_equal(read.features_max(), x_npd.max(axis=1).astype(np.float32))
            np.testing.assert_array_equal(read.embeddings(), x_npd.mean(axis=1).astype(np.float32))
            assert (read.moran_images == read.images).all()
            assert (read.moran_sum == len(sizes)).all()


@pytest.mark.parametrize("block_images", [3, 7, 22])
def test_raw_rows_are_written_to_the_last_whatever_the_blocks(
    tmp_path, cache, monkeypatch, block_images
):
    monkeypatch.setattr(reductions, "BLOCK_IMAGES", block_images)
    x_npd = random_activations(images=IMAGES, seed=3).astype(np.float64)
    with write_raw_reductions(tmp_path / "raw.h5", cache, [5], 1e-8, {}) as writer:
        for part in np.split(x_npd, [4, 13]):
            writer.add(raw_unit(part))
    with RawReductions(tmp_path / "raw.h5") as read:
        np.testing.assert_array_equal(read.features_max(), x_npd.max(axis=1).astype(np.float32))
        np.testing.assert_array_equal(read.embeddings(), x_npd.mean(axis=1).astype(np.float32))


def test_raw_reductions_of_too_few_images_are_not_written(tmp_path, cache):
    path = tmp_path / "raw.h5"
    with (
        pytest.raises(RuntimeError, match=f"21 images written of {IMAGES}"),
        write_raw_reductions(path, cache, [5], 1e-8, {}) as writer,
    ):
        writer.add(raw_unit(random_activations(images=IMAGES - 1).astype(np.float64)))
    assert not path.exists()


def test_half_codes_stay_positive_and_finite():
    codes = np.array([0, 1e-30, 2e-8, 6e-8, 1.0, 65504, 65519, 1e9], np.float32)
    half = half_codes(codes)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, encoders._half(torch.from_numpy(codes)).numpy())
    assert half[0] == 0
    assert (half[1:] > 0).all()
    assert np.isfinite(half).all()
    assert half[4:].tolist() == [1, 65504, 65504, 65504]


def test_too_few_images_leave_no_file(tmp_path, cache):
    with pytest.raises(RuntimeError, match="8 images written of 22"):
        write_toy(tmp_path / "out" / "toy.h5", cache, sizes=(4, 4))
    assert os.listdir(tmp_path / "out") == []


def test_other_files_are_refused(tmp_path, cache):
    write_toy(tmp_path / "toy.h5", cache)
    with pytest.raises(UserError, match="features_max is not in it"):
        RawReductions(tmp_path / "toy.h5")
    with pytest.raises(UserError, match="visae-reductions-6"):
        SaeReductions(cache.path)
    with pytest.raises(UserError, match="is missing"):
        SaeReductions(tmp_path / "absent.h5")
    with h5py.File(tmp_path / "toy.h5", "r+") as file:
        file["squared_error"][()] += 1e-9
    with pytest.raises(UserError, match="has changed since it was written"):
        SaeReductions(tmp_path / "toy.h5")


@settings(deadline=None)  # the kernel is compiled
@given(
    st.integers(1, 30).flatmap(
        lambda images: st.lists(
            st.lists(st.sampled_from([0, 0, 1, 2, 3]), min_size=images, max_size=images),
            min_size=1,
            max_size=4,
        )
    ),
    st.lists(st.integers(1, 9), min_size=30, max_size=30),
)
def test_largest_codes_are_those_of_a_stable_sort(codes, sizes):
    codes_nf = np.array(codes, np.float32).T
    largest = LargestCodes.of_none(codes_nf.shape[1], len(codes_nf))
    first = 0
    for size in sizes:
        largest.add(codes_nf[first : first + size], first)
        first += size
    order = np.argsort(-codes_nf, axis=0, kind="stable")[: min(16, len(codes_nf))].T
    np.testing.assert_array_equal(largest.images, order)
    np.testing.assert_array_equal(largest.codes, np.take_along_axis(codes_nf.T, order, axis=1))
    np.testing.assert_array_equal(largest.least, codes_nf.min(axis=0))
    np.testing.assert_array_equal(largest.live, codes_nf.any(axis=0))
