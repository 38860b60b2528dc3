"""Inference thresholds: exact, independent of batches, with L0 = K on the held-out tokens."""

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_fixtures import mixture_activations

from visae.activations.cache import ActivationCache
from visae.sae.model import SparseAutoencoder
from visae.sae.threshold import LargestValues, held_out_images, measure_thresholds


@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from([0, 2, 6]))
@settings(max_examples=40, deadline=None)
def test_largest_values_are_exact_however_batched(seed, k, decimals):
    generator = np.random.default_rng(seed)
    codes_nf = np.maximum(generator.normal(size=(60, 20)).round(decimals), 0).astype(np.float32)
    budget = 60 * k
    largest = LargestValues(budget)
    for piece in np.array_split(codes_nf, generator.integers(1, 60)):
        largest.add(torch.from_numpy(piece))
    threshold = largest.threshold(tokens=60)
    positive = np.sort(codes_nf[codes_nf > 0])[::-1]
    expected = positive[budget - 1] if len(positive) >= budget else positive[-1]
    assert threshold.value == expected
    assert threshold.saturated == (len(positive) < budget)
    assert threshold.l0 == np.count_nonzero(codes_nf >= expected) / 60


def test_no_positive_code_at_all():
    largest = LargestValues(10)
    largest.add(torch.zeros(4, 5))
    assert largest.threshold(tokens=4) == (0.0, 0.0, True)


def toy_model(width=8, features=64, threshold=0.0):
    generator = torch.Generator().manual_seed(1)
    encoder = torch.randn(features, width, generator=generator)
    decoder = torch.nn.functional.normalize(encoder, dim=1)
    zero = torch.zeros(())
    mean = torch.ones(width)
    return SparseAutoencoder(
        encoder, torch.zeros(features), decoder, zero + threshold, mean, zero + 2
    )


def test_measured_threshold_gives_k_codes_per_token(tmp_path):
    path = write_cache(tmp_path, mixture_activations(30, 12), statistics=False, split="val")
    models = [toy_model(), toy_model(), toy_model(threshold=0.7)]
    with ActivationCache(path) as cache:
        measured = measure_thresholds(models, [4, 9, None], cache, images=17)
        tokens = np.concatenate([cache.read_chunk(n) for n in range(len(cache.chunks))])
        tokens = torch.from_numpy(tokens[held_out_images(cache, 17)].reshape(-1, 8))
    for model, threshold, k in zip(models, measured, [4, 9, None], strict=True):
        if k:
            model.threshold = torch.tensor(threshold.value)
            assert abs(threshold.l0 - k) <= 0.01 * k
        codes = model.encode(model.normalise(tokens))
        assert float((codes > 0).sum(1).float().mean()) == np.float32(threshold.l0)
    assert measured[2].value is None


def test_held_out_images_are_evenly_spaced(tmp_path):
    path = write_cache(tmp_path, mixture_activations(30, 12), statistics=False)
    with ActivationCache(path) as cache:
        assert held_out_images(cache, 10).tolist() == list(range(0, 30, 3))
        assert held_out_images(cache, 99).tolist() == list(range(30))


def test_codes_are_kept_where_positive_and_at_least_the_threshold():
    eye = torch.eye(3)
    zero = torch.zeros(())
    x = torch.tensor([[-1.0, 0.5, 2.0], [0.0, 1.0, -3.0]])
    for threshold, expected in [
        (torch.tensor(1.0), [[0, 0, 2.0], [0, 1.0, 0]]),
        (torch.tensor(-5.0), [[0, 0.5, 2.0], [0, 1.0, 0]]),
        (torch.tensor([0.1, 0.6, 3.0]), [[0, 0, 0], [0, 1.0, 0]]),
    ]:
        model = SparseAutoencoder(eye, torch.zeros(3), eye, threshold, torch.zeros(3), zero + 1)
        assert model.encode(x).tolist() == expected


def test_denormalise_undoes_normalise():
    model = toy_model()
    a = torch.randn(5, 8).half()
    assert torch.allclose(model.denormalise(model.normalise(a)), a.float(), atol=1e-6)


@pytest.mark.parametrize("batch_tokens", [50, 120, 10_000])
def test_batch_minimum_is_the_mean_of_the_smallest_kept_codes(tmp_path, batch_tokens):
    path = write_cache(tmp_path, mixture_activations(30, 12), statistics=False, split="val")
    model, k = toy_model(), 4
    with ActivationCache(path) as cache:
        measured, own = measure_thresholds([model] * 2, [k, None], cache, 30, batch_tokens)
        tokens = np.concatenate([cache.read_chunk(n) for n in range(len(cache.chunks))])
    codes_tf = model.encode(model.normalise(torch.from_numpy(tokens.reshape(-1, 8)))).numpy()
    whole = len(codes_tf) // batch_tokens * batch_tokens
    batches = [codes_tf[s : s + batch_tokens] for s in range(0, whole, batch_tokens)]
    minima = [np.sort(batch.ravel())[-k * len(batch)] for batch in batches or [codes_tf]]
    assert measured.value == pytest.approx(np.mean(minima), rel=1e-6)
    assert measured.l0 == np.count_nonzero(codes_tf >= measured.value) / len(codes_tf)
    assert own == (None, np.count_nonzero(codes_tf) / len(codes_tf), False)
