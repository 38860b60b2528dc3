"""JumpReLU, TopK and ReLU: gradients against float64 references, and what they are to reach."""

import io
import math

import matplotlib
import pytest
import torch
from cache_fixtures import write_cache
from sae_fixtures import dictionary, mixture_activations, sparse_mixtures

from visae.activations.cache import ActivationCache
from visae.sae.checkpoint import load_sae
from visae.sae.families import FAMILIES
from visae.sae.families.jumprelu import trainer as jumprelu
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.training import train_and_save

WIDTH, FACTOR = 12, 5
SPECS = {
    "batchtopk": SaeSpec("batchtopk", FACTOR, 4),
    "topk": SaeSpec("topk", FACTOR, 4),
    "jumprelu": SaeSpec("jumprelu", FACTOR, 4),
    "relu": SaeSpec("relu", FACTOR, 0.3),
    "matryoshka": SaeSpec("matryoshka", FACTOR, 4),
    "gated": SaeSpec("gated", FACTOR, 4),
}


def trainer(family, **changes):
    trainer = FAMILIES.module(family, "trainer").TRAINER
    return trainer(SPECS[family], WIDTH, TrainingSettings(**changes), "cpu")


def batch(seed, size=200):
    return sparse_mixtures(size, dictionary(30, WIDTH), 4, seed)


def trained(family, steps=4, **changes):
    sae = trainer(family, **changes)
    for seed in range(steps):
        sae.step(batch(seed))
    return sae


class Jump(torch.autograd.Function):
    """(pre · H(pre − θ), H(pre − θ)) with the pseudo-derivatives of Rajamanoharan et al. (2024)."""

    @staticmethod
    def forward(ctx, pre, threshold, bandwidth):
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        active = ((pre >= threshold) & (pre > 0)).to(pre.dtype)
        return pre * active, active

    @staticmethod
    def backward(ctx, code_gradient, active_gradient):
        pre, threshold = ctx.saved_tensors
        u = (pre - threshold).abs() / (ctx.bandwidth / 2) / math.sqrt(2)
        delta = torch.exp(-u) * torch.sin(u + math.pi / 4) / ctx.bandwidth * (pre > 0)
        active = (pre >= threshold) & (pre > 0)
        by_threshold = -(threshold * delta * code_gradient + delta * active_gradient).sum(0)
        return code_gradient * active, by_threshold, None


def reference_loss(sae, family, pre, decoder, x_bd, log_threshold):
    """The loss by its definition; float64, differentiable."""
    if family == "jumprelu":
        codes, active = Jump.apply(pre, log_threshold.exp(), sae.bandwidth)
        penalty = sae.log_coefficient.double().exp() * active.sum()
    elif family == "topk":
        smallest = pre.topk(4, dim=1).values[:, -1:]
        codes, penalty = torch.relu(pre) * (pre >= smallest), 0
    else:
        codes = torch.relu(pre)
        penalty = 0.3 * codes.sum()
    return ((codes @ decoder - x_bd).square().sum() + penalty) / x_bd.numel()


@pytest.mark.parametrize("method", ["set_dense_gradients", "set_gradients"])
@pytest.mark.parametrize("family", ["jumprelu", "topk", "relu"])
def test_gradients_equal_a_float64_reference(family, method):
    sae, x_bd = trained(family), batch(99)
    sae.bandwidth = 0.05  # wide enough for many codes to lie below the kernel
    encoder, bias, decoder = (w.detach().double().requires_grad_() for w in sae.weights.values())
    log_threshold = torch.zeros(1, dtype=torch.float64)
    if family == "jumprelu":
        log_threshold = sae.log_threshold.detach().double().requires_grad_()
    pre = x_bd.double() @ encoder.T + bias
    reference_loss(sae, family, pre, decoder, x_bd.double(), log_threshold).backward()
    result = getattr(sae, method)(x_bd)
    pairs = list(zip(sae.weights.values(), (encoder, bias, decoder), strict=True))
    if family == "jumprelu":
        pairs.append((sae.log_threshold, log_threshold))
        assert (log_threshold.grad != 0).float().mean() > 0.9
    for weight, reference in pairs:
        error = (weight.grad - reference.grad).abs().max() / reference.grad.abs().max()
        assert error < 2e-6
    kept = sae.keep((x_bd @ sae.encoder()[0].T) + sae.encoder()[1])
    assert int(result.active) == int(kept.sum()) > 0
    assert torch.equal(result.fired, kept.any(0))


def test_topk_keeps_k_codes_of_each_token():
    sae = trainer("topk")
    pre_bf = torch.randn(50, WIDTH * FACTOR) - 1.5
    kept = sae.keep(pre_bf).sum(1)
    assert torch.equal(kept, (pre_bf > 0).sum(1).clamp(max=4))
    assert kept.max() == 4 > kept.min()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_state_goes_on_to_the_same_bits(family):
    through, first = trained(family, 6), trained(family, 3)
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = trainer(family)
    second.load_state(torch.load(file, weights_only=True))
    for seed in range(3, 6):
        second.step(batch(seed))
    for one, other in zip(through.finish(), second.finish(), strict=True):
        assert torch.equal(one, other)
    if family == "jumprelu":
        assert torch.equal(through.threshold(), second.threshold())
        assert torch.equal(through.log_coefficient, second.log_coefficient)


def test_the_kernel_has_unit_mass_and_the_shape_of_overcompletes(monkeypatch):
    distance = torch.linspace(-0.1, 0.1, 200_001, dtype=torch.float64)
    values = jumprelu.kernel(distance, 1e-3)
    assert float(torch.trapezoid(values, distance)) == pytest.approx(1, abs=1e-4)
    monkeypatch.setattr(matplotlib.cm, "get_cmap", matplotlib.colormaps.get_cmap, raising=False)
    kernels = pytest.importorskip("overcomplete.sae.kernels")
    expected = kernels.silverman_kernel(distance, 1e-3)  # of mass 2
    assert torch.allclose(2 * values, expected.double(), rtol=1e-5, atol=1e-3)


def test_jumprelu_keeps_codes_at_their_threshold_and_none_at_zero():
    sae = trainer("jumprelu")
    with torch.no_grad():
        sae.log_threshold.fill_(math.log(0.5))
        sae.log_threshold[1] = -1000  # a threshold of 0 in float32
    pre = torch.ones(3, sae.features) * sae.threshold()
    pre[1] = torch.nextafter(sae.threshold(), torch.tensor(-1.0))
    pre[2] = torch.nan
    kept = sae.keep(pre)
    assert kept[0].nonzero().ravel().tolist() == [0, *range(2, sae.features)]
    assert not kept[1].any()
    assert kept[2].all()


def test_recipes_begin_as_they_say():
    x_bd = batch(0, 1000)
    paper = trainer("jumprelu", recipes={"jumprelu": "paper"})
    paper.step(x_bd)
    assert torch.allclose(paper.threshold(), torch.tensor(math.exp(-3)), rtol=2e-3)
    calibrated = trainer("jumprelu", recipes={"jumprelu": "calibrated"})
    result = calibrated.step(x_bd)
    assert float(result.active) / 1000 == pytest.approx(4, rel=0.05)
    assert float(result.fired.float().mean()) == 1


def test_first_thresholds_are_quantiles_with_a_floor_and_the_coefficient_is_their_square():
    """Below the floor the kernel would reach negative pre-activations."""
    x_bd = 0.05 * batch(0, 1000)
    sae = trainer("jumprelu", recipes={"jumprelu": "calibrated"})
    weight, bias = (tensor.double() for tensor in sae.encoder())
    active = round(1000 * 4 / (WIDTH * FACTOR))
    quantile = (x_bd.double() @ weight.T + bias).sort(dim=0, descending=True).values[active - 1]
    floor = 40 * 1e-3
    assert (quantile < floor / 2).any()
    assert (quantile > 2 * floor).any()
    expected = quantile.clamp(min=floor)
    with torch.no_grad():
        start = sae._calibrate(x_bd)
    torch.testing.assert_close(sae.threshold().double(), expected, rtol=1e-5, atol=0)
    assert float(start) == pytest.approx(math.log(float(expected.square().mean())), abs=1e-5)
    paper = trainer("jumprelu", recipes={"jumprelu": "paper"})
    with torch.no_grad():
        assert float(paper._calibrate(x_bd).exp()) == pytest.approx(1e-2)


@pytest.mark.parametrize("recipe", jumprelu.RECIPES)
def test_the_coefficient_follows_the_sum_of_errors_and_the_last_one(recipe):
    sae, errors = trainer("jumprelu", recipes={"jumprelu": recipe}), []
    for seed in range(5):
        result = sae.step(batch(seed))
        errors.append(math.log(float(result.active) / 200 / 4))
        change = sae.recipe.integral * sum(errors) + sae.recipe.proportional * errors[-1]
        assert abs(change) < sae.recipe.bound
        assert float(sae.log_coefficient - sae._start) == pytest.approx(change, abs=1e-4)
    assert (sae.recipe.integral, sae.recipe.proportional) == (0.01, 10 if recipe != "paper" else 0)


def test_gradients_of_thresholds_are_clipped_apart_from_the_weights():
    sae = trainer("jumprelu")
    for of_weights, of_thresholds in ((3.0, 5.0), (0.1, 5.0), (3.0, 0.1)):
        for parameter in sae.trained():
            parameter.grad = torch.ones_like(parameter)
        sae.log_threshold.grad *= of_thresholds / sae.log_threshold.grad.norm()
        together = math.sqrt(sum(float(w.grad.square().sum()) for w in sae.weights.values()))
        for weight in sae.weights.values():
            weight.grad *= of_weights / together
        assert bool(sae.clip_gradients(1.0)) == (of_weights > 1)
        together = math.sqrt(sum(float(w.grad.square().sum()) for w in sae.weights.values()))
        assert together == pytest.approx(min(of_weights, 1), rel=1e-5)
        norm = float(sae.log_threshold.grad.norm())
        assert norm == pytest.approx(min(of_thresholds, 1), rel=1e-5)


@pytest.mark.parametrize("recipe", jumprelu.RECIPES)
def test_the_sparsity_coefficient_answers_to_l0_and_stays_bounded(recipe):
    sae = trainer("jumprelu", recipes={"jumprelu": recipe})
    sae.step(batch(0))
    before = float(sae.log_coefficient)
    sae.log_threshold.data.fill_(-20.0)  # far too many codes are active
    for seed in range(3):
        sae.step(batch(seed))
    assert float(sae.log_coefficient) > before
    sae._integral = torch.tensor(1e9)
    sae.step(batch(0))
    assert float(sae.log_coefficient) <= float(sae._start) + sae.recipe.bound + 1e-3


def test_calibrated_jumprelu_reaches_l0_and_fvu_on_a_known_dictionary():
    """Within 800 steps of 512 tokens: L0 to 10 %, FVU no worse than BatchTopK's at the same L0."""
    atoms, target = dictionary(64, 32), 3
    settings = TrainingSettings(learning_rate=3e-3)
    data = sparse_mixtures(40_000, atoms, target, seed=1)
    scale = data.var(0).mean().sqrt()
    data = (data - data.mean(0)) / scale
    train, held_out = data[:-4000], data[-4000:]
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(len(train), (512,), generator=generator) for _ in range(800)]
    fvu = {}
    for family in ("batchtopk", "jumprelu"):
        sae = FAMILIES.module(family, "trainer").TRAINER(
            SaeSpec(family, 4, target), 32, settings, "cpu"
        )
        for chosen in rows:
            sae.step(train[chosen])
        encoder, bias, decoder = sae.finish()
        pre_bf = held_out @ encoder.T + bias
        kept = sae.keep(pre_bf)
        error = (pre_bf * kept) @ decoder - held_out
        fvu[family] = float(error.square().sum() / held_out.square().sum())
        assert float(kept.sum(1).float().mean()) == pytest.approx(target, rel=0.1)
    assert fvu["jumprelu"] < min(0.25, fvu["batchtopk"])


def test_every_family_is_trained_and_saved(tmp_path):
    train_path = write_cache(tmp_path, mixture_activations(40, 12))
    val_path = write_cache(tmp_path, mixture_activations(20, 12, seed=1), split="val")
    settings = TrainingSettings(batch_size=64, epochs=2)
    with ActivationCache(train_path) as train, ActivationCache(val_path) as val:
        train_and_save(SPECS.values(), train, val, tmp_path / "saes", settings, "cpu")
    saved = {family: load_sae(tmp_path / "saes" / spec.name) for family, spec in SPECS.items()}
    assert saved["jumprelu"].model.threshold.shape == (40,)
    assert (saved["jumprelu"].model.threshold > 0).all()
    l0 = saved["jumprelu"].config["held_out"]["l0"]
    assert saved["jumprelu"].config["converged"] == (abs(l0 - 4) <= 2)
    assert saved["topk"].config["held_out"]["l0"] == pytest.approx(4, rel=0.01)
    assert saved["relu"].config["k"] is None
    assert saved["relu"].model.threshold.shape == ()
    recipes = {family: sae.config["training"].get("recipe") for family, sae in saved.items()}
    assert recipes == dict.fromkeys(SPECS) | {"jumprelu": "calibrated"}
    assert set(saved) == set(FAMILIES)
    for family, sae in saved.items():
        assert sae.model.threshold.ndim == FAMILIES[family].threshold.per_feature
        assert ("converged" in sae.config) == FAMILIES[family].steered
