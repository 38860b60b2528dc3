"""BatchTopK training against overcomplete 0.3.0 (what the paper trained with) and autograd."""

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_fixtures import dictionary, sparse_mixtures

from visae.sae.batchtopk import BatchTopK
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.trainer import product

WIDTH, FACTOR, K = 24, 16, 8


def trainer(k=K, width=WIDTH, factor=FACTOR, **changes):
    return BatchTopK(SaeSpec("batchtopk", factor, k), width, TrainingSettings(**changes), "cpu")


def batches(count, size, width=WIDTH):
    atoms = dictionary(200, width)
    return [sparse_mixtures(size, atoms, 6, seed) for seed in range(count)]


def reference_gradients(sae, x_bd, budget):
    """Loss and gradients by autograd of the definition, in float64."""
    encoder, bias, decoder = (w.detach().double().requires_grad_() for w in sae.weights.values())
    x_bd = x_bd.double()
    codes = torch.relu(x_bd @ encoder.T + bias)
    smallest = codes.flatten().sort(descending=True).values[budget - 1]
    loss = (torch.where(codes >= smallest, codes, 0) @ decoder - x_bd).square().mean()
    loss.backward()
    return loss.detach(), encoder.grad, bias.grad, decoder.grad


def assert_gradients(sae, result, expected, tolerance=1e-6):
    loss, *gradients = expected
    assert float(result.loss) == pytest.approx(float(loss), rel=tolerance)
    for (name, weight), gradient in zip(sae.weights.items(), gradients, strict=True):
        error = (weight.grad - gradient).abs().max() / gradient.abs().max()
        assert error < tolerance, name


def test_losses_equal_those_of_overcomplete(monkeypatch):
    monkeypatch.setattr(matplotlib.cm, "get_cmap", matplotlib.colormaps.get_cmap, raising=False)
    overcomplete = pytest.importorskip("overcomplete.sae")
    data = [*batches(60, 256), *batches(1, 77)]  # the last batch is ragged
    torch.manual_seed(42)
    theirs = overcomplete.BatchTopKSAE(WIDTH, FACTOR * WIDTH, top_k=K * 256)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    expected = []
    for x_bd in data:
        theirs.top_k = K * len(x_bd)
        expected += overcomplete.train_sae(
            theirs,
            [x_bd],
            lambda x, x_hat, *_: (x - x_hat).square().mean(),
            optimizer,
            nb_epochs=1,
            clip_grad=1.0,
        )["step_loss"]
    ours = trainer()
    losses = [float(ours.step(x_bd).loss) for x_bd in data]
    assert losses[-1] < losses[0] / 1.5
    np.testing.assert_allclose(losses, expected, rtol=2e-6)
    encoder, bias, decoder = ours.finish()
    linear = theirs.encoder.final_block[0]
    for mine, other in [
        (encoder, linear.weight),
        (bias, linear.bias),
        (decoder, theirs.get_dictionary()),
    ]:
        assert (mine - other).abs().max() < 1e-5


def test_gradients_equal_float64_autograd():
    sae = trainer()
    for x_bd in batches(5, 128):
        sae.step(x_bd)
    x_bd = batches(6, 100)[-1]
    result = sae.set_dense_gradients(x_bd)
    assert_gradients(sae, result, reference_gradients(sae, x_bd, K * 100))
    assert int(result.active) == K * 100


def test_float16_products_are_close():
    sae = trainer()
    x_bd = batches(1, 128)[0]
    sae.set_dense_gradients(x_bd)
    exact = sae.weights["encoder_weight"].grad.clone()
    sae.half = True
    sae.set_dense_gradients(x_bd)
    error = (sae.weights["encoder_weight"].grad - exact).norm() / exact.norm()
    assert 0 < error < 0.05


def test_float16_product_sums_in_float32():
    ones = torch.full((1, 4096), 32.0)
    assert float(product(ones, ones.T, half=True)) == 4096 * 32.0**2 > 65504


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 40), st.sampled_from([0, 1, 3]))
@settings(max_examples=40, deadline=None)
def test_selection_keeps_the_largest_and_their_ties(seed, rows, k, decimals):
    generator = torch.Generator().manual_seed(seed)
    sae = trainer(k=k, width=8, factor=4)
    for _ in range(3):  # the second and third call start from the last threshold
        pre_bf = torch.randn(rows, 32, generator=generator).round(decimals=decimals)
        keep_bf = sae.keep(pre_bf)
        positive = pre_bf[pre_bf > 0].sort(descending=True).values
        if len(positive) >= rows * k:
            expected = pre_bf >= positive[rows * k - 1]
        else:
            expected = pre_bf > 0
        assert torch.equal(keep_bf, expected)


def test_a_rising_or_falling_threshold_changes_no_selection():
    sae = trainer(k=4, width=8, factor=4)
    for scale in (1.0, 100.0, 1e-4, 1.0):
        pre_bf = torch.randn(50, 32, generator=torch.Generator().manual_seed(3)) * scale
        keep_bf = sae.keep(pre_bf)
        assert int(keep_bf.sum()) == 200
        assert pre_bf[keep_bf].min() > pre_bf[~keep_bf].max()


def test_rows_of_the_finished_decoder_have_unit_norm():
    sae = trainer()
    sae.step(batches(1, 64)[0])
    assert torch.allclose(sae.finish()[2].norm(dim=1), torch.ones(WIDTH * FACTOR), atol=1e-6)
