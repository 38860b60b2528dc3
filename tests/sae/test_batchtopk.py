"""BatchTopK training against overcomplete 0.3.0 (what the paper trained with) and autograd."""

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_fixtures import dictionary, sparse_mixtures
from torch._subclasses.fake_tensor import FakeTensorMode

from visae.sae import sparse
from visae.sae.families.batchtopk.trainer import BatchTopK
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.trainer import product

WIDTH, FACTOR, K = 24, 16, 8


def trainer(k=K, width=WIDTH, factor=FACTOR, **changes):
    return BatchTopK(SaeSpec("batchtopk", factor, k), width, TrainingSettings(**changes), "cpu")


def batches(count, size, width=WIDTH, first_seed=0):
    atoms = dictionary(200, width)
    return [sparse_mixtures(size, atoms, 6, first_seed + seed) for seed in range(count)]


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
    # These data have no two codes that differ by rounding alone at a batch's threshold, where
    # float32 does not decide which of them is kept.
    data = [*batches(60, 256, first_seed=100), *batches(1, 77)]  # the last batch is ragged
    monkeypatch.setattr(matplotlib.cm, "get_cmap", matplotlib.colormaps.get_cmap, raising=False)
    overcomplete = pytest.importorskip("overcomplete.sae")
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
    linear = theirs.encoder.final_block[0]
    weights = [linear.weight, linear.bias, theirs.get_dictionary()]
    sparse_sae, dense_sae = trainer(), trainer()
    dense_sae.set_gradients = dense_sae.set_dense_gradients
    for ours in (sparse_sae, dense_sae):
        losses = [float(ours.step(x_bd).loss) for x_bd in data]
        assert losses[-1] < losses[0] / 1.5
        np.testing.assert_allclose(losses, expected, rtol=1e-6)
        for mine, other in zip(ours.finish(), weights, strict=True):
            assert (mine - other).abs().max() < 2e-5


@pytest.mark.parametrize("method", ["set_dense_gradients", "set_sparse_gradients"])
@pytest.mark.parametrize("steps, size", [(0, 100), (5, 100), (5, 7), (40, 600)])
def test_gradients_equal_float64_autograd(method, steps, size):
    sae = trainer()
    for x_bd in batches(steps, 128):
        sae.step(x_bd)
    x_bd = batches(steps + 1, size)[-1]
    result = getattr(sae, method)(x_bd)
    assert_gradients(sae, result, reference_gradients(sae, x_bd, K * size))
    assert int(result.active) == K * size
    fired = (sae.weights["encoder_bias"].grad != 0) | (sae.weights["decoder_weight"].grad != 0).any(
        1
    )
    assert torch.equal(result.fired, fired)


def test_sparse_gradients_do_not_depend_on_the_number_of_threads():
    sae, x_bd = trainer(), batches(1, 128)[0]
    codes = sae.active_codes(x_bd)
    found, threads = [], torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        sparse.set_sparse_gradients(
            x_bd, codes, *sae.weights.values(), lambda _: None, x_bd.shape[1]
        )
        found.append([weight.grad.clone() for weight in sae.weights.values()])
    torch.set_num_threads(threads)
    assert all(torch.equal(one, three) for one, three in zip(*found, strict=True))


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


def sparse_keep(sae, pre_bf):
    """What the sparse selection keeps, when the encoder is the identity; dense bool [B, F]."""
    sae.weights["encoder_weight"].data = torch.eye(pre_bf.shape[1])
    sae.weights["encoder_bias"].data = torch.zeros(pre_bf.shape[1])
    starts, features, values = sae.active_codes(pre_bf)
    rows = np.repeat(np.arange(len(pre_bf)), np.diff(starts))
    keep_bf = torch.zeros(pre_bf.shape, dtype=torch.bool)
    keep_bf[rows, features] = True
    assert np.array_equal(pre_bf[rows, features], values)
    return keep_bf


def test_the_product_on_cuda_is_float32():
    with FakeTensorMode():  # shapes and types of CUDA's kernels, without a device
        left, right = torch.empty(3, 4, device="cuda"), torch.empty(5, 4, device="cuda")
        result = product(left, right.T, half=True)
    assert (result.shape, result.dtype, result.device.type) == ((3, 5), torch.float32, "cuda")


@pytest.mark.parametrize("select", [BatchTopK.keep, sparse_keep])
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 40), st.sampled_from([0, 1, 3]))
@settings(max_examples=40, deadline=None)
def test_selection_keeps_the_largest_and_their_ties(select, seed, rows, k, decimals):
    generator = torch.Generator().manual_seed(seed)
    sae = trainer(k=k, width=8, factor=4)
    with torch.no_grad():
        for _ in range(3):  # the second and third call start from the last threshold
            pre_bf = torch.randn(rows, 32, generator=generator).round(decimals=decimals)
            keep_bf = select(sae, pre_bf)
            positive = pre_bf[pre_bf > 0].sort(descending=True).values
            smallest = positive[rows * k - 1] if len(positive) >= rows * k else 0
            assert torch.equal(keep_bf, (pre_bf >= smallest) & (pre_bf > 0))


@pytest.mark.parametrize("select", [BatchTopK.keep, sparse_keep])
def test_a_rising_or_falling_threshold_changes_no_selection(select):
    sae = trainer(k=4, width=8, factor=4)
    with torch.no_grad():
        for scale in (1.0, 100.0, 1e-4, 1.0):
            pre_bf = torch.randn(50, 32, generator=torch.Generator().manual_seed(3)) * scale
            keep_bf = select(sae, pre_bf)
            assert int(keep_bf.sum()) == 200
            assert pre_bf[keep_bf].min() > pre_bf[~keep_bf].max()


def test_rows_of_the_finished_decoder_have_unit_norm():
    sae = trainer()
    sae.step(batches(1, 64)[0])
    assert torch.allclose(sae.finish()[2].norm(dim=1), torch.ones(WIDTH * FACTOR), atol=1e-6)
