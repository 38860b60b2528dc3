"""One normalisation: the same bits from NumPy and torch, and the formula's value."""

import numpy as np
import pytest
import torch
from cache_fixtures import cache_info

from visae.activations.normalisation import check_statistics, denormalise, normalise
from visae.activations.source import Activations
from visae.base.errors import UserError

SHAPES = [(7,), (300, 7), (5, 12, 7)]


def values(shape, kind, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) * 30 + 5).astype(kind)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_and_tensors_give_the_same_bits(shape, kind):
    activations, mean = values(shape, kind), values(7, np.float32, seed=1)
    std = np.float32(1.7)
    tensors = [torch.from_numpy(activations), torch.from_numpy(mean), torch.tensor(std)]
    from_array = normalise(activations, mean, std)
    from_tensor = normalise(*tensors)
    assert from_array.dtype == np.float32
    assert from_tensor.dtype == torch.float32
    np.testing.assert_array_equal(from_array.view(np.int32), from_tensor.numpy().view(np.int32))


def test_it_is_the_formula_in_float32():
    activations, mean = values((300, 7), np.float16), values(7, np.float32, seed=1)
    expected = (activations.astype(np.float64) - mean) / np.float64(np.float32(1.7))
    found = normalise(activations, mean, np.float32(1.7))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    back = denormalise(found, mean, np.float32(1.7))
    np.testing.assert_allclose(back, activations, rtol=1e-5, atol=1e-4)


def test_activations_are_left_as_they_are():
    for activations in (values((4, 7), np.float32), torch.from_numpy(values((4, 7), np.float32))):
        before = activations.copy() if isinstance(activations, np.ndarray) else activations.clone()
        mean = np.ones(7, np.float32)
        normalise(activations, mean if isinstance(before, np.ndarray) else torch.tensor(mean), 2)
        assert (activations == before).all()


@pytest.mark.parametrize(
    ("moved", "stretched", "same"),
    [(5e-6, 1, True), (5e-5, 1, False), (0, 1 + 5e-6, True), (0, 1 + 5e-5, False)],
)
def test_statistics_are_the_same_up_to_1e_5_of_the_spread(moved, stretched, same):
    """Of a mean of zero, too, of which no share is a measure."""
    mean, std = np.zeros(3), 2.0
    activations = Activations()
    activations.info, activations.path = cache_info(width=3), "the cache"
    activations.mean, activations.std = mean, std
    statistics = mean + moved * std, std * stretched
    if same:
        check_statistics("the SAE", *statistics, activations)
    else:
        with pytest.raises(UserError, match="are not those of the cache"):
            check_statistics("the SAE", *statistics, activations)
