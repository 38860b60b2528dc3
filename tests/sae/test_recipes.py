"""Settings of a sweep's own: gradients against float64 autograd, schedules, and what is refused."""

import io
import math

import numpy as np
import pytest
import torch
from cache_fixtures import write_cache
from sae_fixtures import dictionary, mixture_activations, sparse_mixtures

from visae.activations.cache import ActivationCache
from visae.base.errors import UserError
from visae.sae.checkpoint import load_sae
from visae.sae.choices import Auxiliary, Schedule, prefix_stops
from visae.sae.families import FAMILIES
from visae.sae.screened import is_screened
from visae.sae.specs import SaeSpec, TrainingSettings, check_own, check_own_size
from visae.sae.trainer import DECODER_WEIGHT, normalise_rows
from visae.sae.training import train, train_and_save

WIDTH, FACTOR, K, TOKENS = 12, 5, 4, 150
FEATURES = WIDTH * FACTOR
STOPS = (6, 20, FEATURES)
AUXILIARY = {"coefficient": 0.5, "k": 5, "dead_after": 2 * TOKENS}


def trainer(family, **changes):
    spec = SaeSpec(family, FACTOR, 0.3 if family == "relu" else K)
    own = {spec.name: {"gradient_clip": None, "learning_rate": 5e-3, **changes}}
    settings = TrainingSettings(own=own).of(spec)
    return FAMILIES.module(family, "trainer").TRAINER(spec, WIDTH, settings, "cpu")


def batch(seed):
    return 0.2 + sparse_mixtures(TOKENS, dictionary(30, WIDTH), 4, seed)


def trained(family, steps=5, shy=False, **changes):
    sae = trainer(family, **changes)
    if shy:  # every third feature is dead from the beginning
        sae.weights["encoder_bias"].data[::3] -= 1.0
    for seed in range(steps):
        sae.step(batch(seed))
    return sae


def reference_loss(sae, family, p, x_bd, dead):
    """The loss per token and dimension by its definition; float64, differentiable.

    p: name → parameter. dead: which features are.
    """
    settings = sae.settings
    bias = p.get("decoder_bias", torch.zeros(WIDTH, dtype=torch.float64))
    seen = x_bd - bias if settings.decoder_bias == "tied" else x_bd
    h = seen @ p["encoder_weight"].T
    pre = h + p["encoder_bias"]
    penalty = 0.0
    if family == "gated":
        gate = torch.relu(h + p["gate_bias"])
        codes = torch.relu(h * p["log_scale"].exp() + p["encoder_bias"]) * (gate > 0)
        by_gate = gate @ p["decoder_weight"].detach() + bias.detach()
        penalty = (by_gate - x_bd).square().sum()
        penalty = penalty + sae.log_coefficient.double().exp() * gate.sum()
    elif family == "topk":
        smallest = pre.topk(K, dim=1).values[:, -1:]
        codes = torch.relu(pre) * (pre >= smallest)
    elif family == "relu":
        codes = torch.relu(pre)
        penalty = 0.3 * codes.sum()
    else:
        codes = torch.relu(pre)
        smallest = codes.flatten().sort(descending=True).values[K * TOKENS - 1]
        codes = codes * (codes >= smallest)
    stops = STOPS if family == "matryoshka" else (FEATURES,)
    of_prefix = [x_bd - bias - codes[:, :s] @ p["decoder_weight"][:s] for s in stops]
    loss = sum(left.square().sum() for left in of_prefix) / len(stops) + penalty
    if settings.auxiliary and dead.any():
        left = of_prefix[-1].detach()
        shy = torch.relu(pre) * dead
        values, indices = shy.topk(min(AUXILIARY["k"], int(dead.sum())), dim=1)
        shy = torch.zeros_like(shy).scatter(1, indices, values)
        error = (shy @ p["decoder_weight"] - left).square().sum()
        variance = (left - left.mean(0)).square().sum() / len(x_bd)
        loss = loss + AUXILIARY["coefficient"] * error / variance
    return loss / x_bd.numel()


def parameters(sae):
    found = dict(sae.weights)
    for name in ("decoder_bias", "gate_bias", "log_scale"):
        if getattr(sae, name, None) is not None:
            found[name] = getattr(sae, name)
    return found


@pytest.mark.parametrize("method", ["set_sparse_gradients", "set_dense_gradients"])
@pytest.mark.parametrize("bias", ["none", "added", "tied"])
@pytest.mark.parametrize("family", ["batchtopk", "topk", "relu", "matryoshka", "gated"])
def test_gradients_equal_a_float64_reference(family, bias, method):
    if family in ("relu", "gated") and method == "set_sparse_gradients":
        method = "set_gradients"
    changes = {"decoder_bias": bias}
    if "auxiliary" in FAMILIES[family].settings:
        changes["auxiliary"] = AUXILIARY
    if family == "matryoshka":
        changes["prefixes"] = STOPS
    sae, x_bd = trained(family, shy=True, **changes), batch(99)
    if family == "gated":
        sae.log_scale.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    sae.set_gradients = getattr(sae, method)
    normalise_rows(sae.weights[DECODER_WEIGHT])
    before = {name: p.detach().double().requires_grad_() for name, p in parameters(sae).items()}
    coefficient = sae.log_coefficient if family == "gated" else None
    result = sae.step(x_bd)
    dead = torch.zeros(FEATURES, dtype=torch.bool)
    if sae.dead_features:
        dead = sae.dead_features.idle >= AUXILIARY["dead_after"]
        assert AUXILIARY["k"] < dead.sum() < FEATURES / 2
    if coefficient is not None:
        sae.log_coefficient = coefficient
    reference_loss(sae, family, before, x_bd.double(), dead).backward()
    for name, parameter in parameters(sae).items():
        expected = before[name].grad
        assert expected.abs().max() > 0, name
        error = (parameter.grad - expected).abs().max() / expected.abs().max()
        assert error < 5e-6, name
    assert result.residual.square().mean() == pytest.approx(float(result.loss), rel=1e-5)


def test_a_tangent_gradient_is_the_rest_of_the_whole_one():
    whole, tangent = (trained("batchtopk", 3) for _ in range(2))
    object.__setattr__(tangent.settings, "decoder_gradient", "tangent")
    rows = torch.nn.functional.normalize(whole.weights[DECODER_WEIGHT].detach().double(), dim=1)
    for sae in (whole, tangent):
        sae.step(batch(9))
    of_whole, left = (sae.weights[DECODER_WEIGHT].grad.double() for sae in (whole, tangent))
    assert (of_whole * rows).sum(1).abs().max() > 1e-5
    assert (left * rows).sum(1).abs().max() < 1e-8
    expected = of_whole - (of_whole * rows).sum(1, keepdim=True) * rows
    torch.testing.assert_close(left, expected, rtol=1e-4, atol=1e-8)


def test_a_feature_is_dead_from_its_patience_on_until_it_fires():
    sae = trained("batchtopk", 0, shy=True, auxiliary=AUXILIARY)
    idle, acted = torch.zeros(FEATURES), []
    for step in range(1, 8):
        fired = sae.step(batch(step)).fired
        idle = torch.where(fired, 0, idle + TOKENS)
        assert torch.equal(sae.dead_features.idle, idle)
        moved = (sae.weights["encoder_weight"].grad != 0).any(1)
        assert not (moved & ~fired & (idle < 2 * TOKENS)).any()
        acted.append(int((moved & ~fired).sum()))
    assert acted[0] == 0 < min(acted[2:5])


def test_nothing_left_to_explain_gives_no_gradient():
    """The variance of what is left is then 0, by which the loss divides."""
    sae = trainer("batchtopk", auxiliary=AUXILIARY)
    x_bd = batch(0)
    fired = torch.zeros(FEATURES, dtype=torch.bool)
    sae.set_gradients(x_bd)
    before = [w.grad.clone() for w in sae.weights.values()]
    for _ in range(2):
        sae.dead_features.add_gradients(sae, x_bd, torch.zeros_like(x_bd), fired)
    assert (sae.dead_features.idle == 2 * TOKENS).all()
    for weight, expected in zip(sae.weights.values(), before, strict=True):
        assert torch.equal(weight.grad, expected)


# ---------------------------------------------------------------- features drawn anew


def mute(sae, features):
    sae.weights["encoder_bias"].data[features] = -50.0


def test_dead_features_take_the_direction_of_tokens_that_are_reconstructed_badly():
    sae = trained("relu", 3, resampling={"every": 2 * TOKENS, "until": 1.0})
    dead = torch.tensor([3, 17, 40])
    mute(sae, dead)
    sae.step(batch(4))  # the second of a period, and too early for what fired in the first
    assert sae.weights["encoder_bias"][dead].max() < -40
    sae.step(batch(5))
    before = {name: weight.detach().clone() for name, weight in sae.weights.items()}
    x_bd = batch(6)
    x_bd[7] *= 50.0  # by far the worst token
    result = sae.step(x_bd)
    worst = int(result.residual.square().sum(1).argmax())
    encoder, bias, decoder = (weight.detach() for weight in sae.weights.values())
    assert worst == 7
    direction = torch.nn.functional.normalize(x_bd[worst], dim=0)
    alive = torch.ones(FEATURES, dtype=torch.bool)
    alive[dead] = False
    torch.testing.assert_close(decoder[dead], direction.expand(3, -1))
    length = encoder[alive].norm(dim=1).mean()
    torch.testing.assert_close(encoder[dead], (0.2 * length * direction).expand(3, -1))
    assert (bias[dead] == 0).all()
    for name, weight in sae.weights.items():
        number = next(i for i, p in enumerate(sae.optimizer.parameters) if p is weight)
        for moments in (sae.optimizer._means[number], sae.optimizer._squares[number]):
            assert (moments[dead] == 0).all()
            assert (moments[alive] != 0).any()
        # The rest went its way by no more than Adam's step.
        assert (weight.detach() - before[name])[alive].abs().max() < 0.1
    assert not sae.resampler.fired.any()


def test_tokens_are_drawn_where_errors_are_large():
    sae, dead = trainer("relu", resampling={"every": TOKENS, "until": 1.0}), torch.tensor([3])
    sae.weights["encoder_weight"].data[dead] = 0.0
    mute(sae, dead)
    loss = sae.step(1e11 * batch(0)).loss  # each token's squared error is 1e22 or more
    assert loss.isfinite()
    assert (sae.weights["encoder_bias"][dead] == 0).all()


def test_nothing_is_drawn_after_its_share_of_the_run():
    def bias_of_a_mute_feature(step):
        sae = trainer("relu", resampling={"every": TOKENS, "until": 0.5})
        mute(sae, torch.tensor([3]))
        sae.begin_step(step, 10)
        sae.step(batch(0))
        return float(sae.weights["encoder_bias"][3].detach())

    assert bias_of_a_mute_feature(4) == 0
    assert bias_of_a_mute_feature(5) < -40


# ---------------------------------------------------------------- what a decoder bias becomes


@pytest.mark.parametrize("bias", ["added", "tied"])
@pytest.mark.parametrize("family", ["batchtopk", "gated"])
def test_a_saved_sae_reconstructs_as_it_does_in_training(tmp_path, family, bias):
    """Its bias is part of the mean that normalises, and a gate is a threshold."""
    train_path = write_cache(tmp_path, mixture_activations(60, 12, width=WIDTH))
    spec = SaeSpec(family, FACTOR, K)
    settings = TrainingSettings(batch_size=60, epochs=4, learning_rate=0.01, decoder_bias=bias)
    with ActivationCache(train_path) as cache:
        ((sae, _),) = train([spec], cache, settings, "cpu")
        train_and_save([spec], cache, cache, tmp_path, settings, "cpu")
        tokens = torch.from_numpy(cache.read_chunk(0).reshape(-1, WIDTH)).float()
        mean, std = torch.from_numpy(cache.mean).float(), float(np.float32(cache.std))
    v = sae.decoder_bias.detach()
    assert v.abs().max() > 0.01
    x = (tokens - mean) / std
    seen = x - v if bias == "tied" else x
    h = seen @ sae.weights["encoder_weight"].detach().T
    pre = h + sae.weights["encoder_bias"].detach()
    model = load_sae(tmp_path / spec.name).model
    if family == "gated":
        gate = h + sae.gate_bias.detach()
        codes = torch.relu(h * sae.log_scale.detach().exp() + sae.weights["encoder_bias"].detach())
        codes = codes * (gate > 0)
    else:
        codes = torch.relu(pre) * (pre >= model.threshold)
    decoder = torch.nn.functional.normalize(sae.weights["decoder_weight"].detach(), dim=1)
    expected = (codes @ decoder + v) * std + mean
    found = model.encode(model.normalise(tokens))
    assert 1 < float((found > 0).sum(1).float().mean()) < 20
    assert ((found > 0) != (codes > 0)).float().mean() < 1e-4
    torch.testing.assert_close(found, codes, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        model.denormalise(model.decode(found)), expected, rtol=1e-3, atol=1e-3
    )


def test_a_gate_is_a_threshold():
    sae = trainer("gated")
    generator = torch.Generator().manual_seed(1)
    for parameter in (sae.log_scale, sae.gate_bias, sae.weights["encoder_bias"]):
        parameter.data.normal_(0, 0.5, generator=generator)
    weight, bias, _ = sae.finish()
    threshold = sae.threshold()
    assert 0.1 < (threshold > 1e-6).float().mean() < 0.9
    assert threshold.min() > 0  # also of a gate that opens before the magnitude is positive
    x_bd = batch(0)
    h = x_bd.double() @ sae.weights["encoder_weight"].detach().double().T
    gate, scale = h + sae.gate_bias.detach(), sae.log_scale.detach().double().exp()
    expected = torch.relu(h * scale + sae.weights["encoder_bias"].detach()) * (gate > 0)
    pre = x_bd @ weight.T + bias
    found = torch.where((pre > 0) & (pre >= threshold), pre, 0)
    sure = gate.abs() > 1e-5
    torch.testing.assert_close(found[sure].double(), expected[sure], rtol=1e-5, atol=1e-5)
    # A gate that is at 0 exactly is closed.
    closed = sae.weights["encoder_bias"] - sae.log_scale.exp() * sae.gate_bias
    assert (threshold > closed).all()


# ---------------------------------------------------------------- prefixes


def test_drawn_prefixes_are_small_more_often_and_go_on_from_a_checkpoint():
    sae = trainer("matryoshka", random_prefixes=4)
    drawn = [sae.stops() for _ in range(300)]
    assert all(len(stops) == 4 and stops == sorted(set(stops)) for stops in drawn)
    assert {stops[-1] for stops in drawn} == {FEATURES}
    firsts = np.concatenate([stops[:-1] for stops in drawn])
    assert firsts.min() == 1
    assert firsts.max() > 0.8 * FEATURES
    assert np.mean(firsts <= FEATURES // 4) > 0.6
    state = sae.state()
    following = [sae.stops() for _ in range(5)]
    other = trainer("matryoshka", random_prefixes=4)
    other.load_state(state)
    assert [other.stops() for _ in range(5)] == following
    assert len({tuple(stops) for stops in following}) > 1


def test_prefixes_of_a_screened_encoder():
    """The codes of a token come in the order of features, whichever product finds them."""
    spec, width = SaeSpec("matryoshka", 16, 8), 256
    sparse, dense = (
        FAMILIES.module("matryoshka", "trainer").TRAINER(spec, width, TrainingSettings(), "cpu")
        for _ in range(2)
    )
    assert is_screened(*sparse.encoder()[0].shape)
    x_bd = torch.randn(40, width, generator=torch.Generator().manual_seed(0))
    for sae, method in ((sparse, "set_sparse_gradients"), (dense, "set_dense_gradients")):
        normalise_rows(sae.weights[DECODER_WEIGHT])
        for _ in range(2):  # the second begins with the threshold of the first
            getattr(sae, method)(x_bd)
    for mine, other in zip(sparse.weights.values(), dense.weights.values(), strict=True):
        assert (mine.grad - other.grad).abs().max() < 1e-5 * other.grad.abs().max()


def test_one_prefix_is_batchtopk():
    one, plain = trained("matryoshka", prefixes=(1,)), trained("batchtopk")
    for mine, other in zip(one.finish(), plain.finish(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_shares_become_numbers_of_features():
    assert prefix_stops(None, 96) == [6, 12, 24, 48, 96]
    assert prefix_stops([0.3, 1], 10) == [3, 10]
    assert prefix_stops([4, 10], 10) == [4, 10]
    assert prefix_stops([1], 10) == [10]


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize("steps", [7, 40])
def test_schedules_are_torchs(steps):
    def rates(*made):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        kinds = [kind(optimizer, **arguments) for kind, arguments in made]
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, kinds, milestones=[steps // 2])
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    schedulers = torch.optim.lr_scheduler
    rise, fall = steps // 2, steps - steps // 2
    warm_up = schedulers.LinearLR, {"start_factor": 1 / rise, "total_iters": rise - 1}
    linear = schedulers.LinearLR, {"start_factor": 1.0, "end_factor": 0.0, "total_iters": fall}
    cosine = schedulers.CosineAnnealingLR, {"T_max": fall}
    for shape, kind in (("linear", linear), ("cosine", cosine)):
        schedule = Schedule(rise / steps, fall / steps, shape)
        found = [schedule.factor(step, steps) for step in range(steps)]
        np.testing.assert_allclose(found, rates(warm_up, kind), rtol=1e-6)
    assert [Schedule().factor(step, steps) for step in range(steps)] == [1.0] * steps
    late = [Schedule(decay=0.25).factor(step, 8) for step in range(8)]
    assert late == [1, 1, 1, 1, 1, 1, 1, 0.5]


def test_the_rate_of_every_step_follows_the_schedule(tmp_path, monkeypatch):
    from visae.sae.adam import Adam

    rates, step = [], Adam.step

    def noted(self):
        rates.append(self.learning_rate)
        return step(self)

    monkeypatch.setattr(Adam, "step", noted)
    path = write_cache(tmp_path, mixture_activations(20, 12))
    plain, falling = SaeSpec("batchtopk", 4, 3), SaeSpec("batchtopk", 4, 3, "falling")
    own = {falling.name: {"schedule": {"decay": 1.0}, "learning_rate": 0.5}}
    settings = TrainingSettings(batch_size=60, learning_rate=0.1, own=own)
    with ActivationCache(path) as cache:
        train([plain, falling], cache, settings, "cpu")
    assert rates[::2] == [0.1] * 4
    assert rates[1::2] == [0.5, 0.375, 0.25, 0.125]


# ---------------------------------------------------------------- on one pass, and after a kill

OWN = {
    "batchtopk": {"auxiliary": AUXILIARY, "decoder_bias": "tied", "schedule": {"decay": 0.5}},
    "topk": {"auxiliary": AUXILIARY, "decoder_bias": "added"},
    "matryoshka": {"random_prefixes": 3, "auxiliary": AUXILIARY, "loss": "sum"},
    "gated": {"decoder_bias": "added", "decoder_gradient": "tangent", "seed": 7},
    "jumprelu": {"decoder_bias": "tied", "schedule": {"warm_up": 0.5, "shape": "cosine"}},
    "relu": {"decoder_bias": "added", "resampling": {"every": 2 * TOKENS}},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_state_goes_on_to_the_same_bits(family):
    through, first = (trained(family, n, shy=True, **OWN[family]) for n in (6, 3))
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = trainer(family, **OWN[family])
    second.load_state(torch.load(file, weights_only=True))
    for seed in range(3, 6):
        second.step(batch(seed))
    for one, other in zip(through.trained(), second.trained(), strict=True):
        assert torch.equal(one, other)


def test_variants_of_one_cell_share_a_pass_and_are_as_if_alone(tmp_path):
    train_path = write_cache(tmp_path, mixture_activations(40, 12))
    specs = [SaeSpec("batchtopk", 4, 3), SaeSpec("batchtopk", 4, 3, "b"), SaeSpec("gated", 4, 3)]
    own = {specs[1].name: {"seed": 5, "loss": "sum"}, specs[2].name: {"learning_rate": 0.01}}
    settings = TrainingSettings(batch_size=60, own=own, epochs=2)
    with ActivationCache(train_path) as cache:
        train_and_save(specs, cache, cache, tmp_path / "together", settings, "cpu")
        for spec in specs:
            train_and_save([spec], cache, cache, tmp_path / "alone", settings, "cpu")
    together, alone = (
        [load_sae(tmp_path / where / spec.name) for spec in specs]
        for where in ("together", "alone")
    )
    assert [sae.fingerprint for sae in together] == [sae.fingerprint for sae in alone]
    said = [sae.config["training"] for sae in together]
    assert [(each["seed"], each["loss"]) for each in said[:2]] == [(42, "mean"), (5, "sum")]
    assert together[0].fingerprint != together[1].fingerprint
    assert said[0]["auxiliary"] is None
    assert "prefixes" not in said[0]
    assert together[2].config["converged"] in (True, False)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "family, own, sentence",
    [
        ("batchtopk", {"schedule": {"decay": 1.2}}, "schedule.decay is 1.2 of the run"),
        (
            "batchtopk",
            {"schedule": {"warm_up": 0.5, "decay": 0.6}},
            "warm_up 0.5 and schedule.decay 0.6 are together longer than the run: lower",
        ),
        ("batchtopk", {"schedule": {"warm_up": 1000}}, "schedule.warm_up is 1000 of the run"),
        ("batchtopk", {"schedule": {"shape": "step"}}, "write linear or cosine"),
        ("batchtopk", {"schedule": {"warmup": 0.1}}, "schedule has the key 'warmup'"),
        ("batchtopk", {"auxiliary": {"k": 3}}, "auxiliary lacks the key 'dead_after'"),
        ("batchtopk", {"auxiliary": {"dead_after": 0}}, "auxiliary.dead_after is 0"),
        ("batchtopk", {"auxiliary": {"dead_after": 1, "k": 0}}, "auxiliary.k is 0"),
        ("relu", {"resampling": {"until": 0.5}}, "resampling lacks the key 'every'"),
        ("relu", {"resampling": {"every": 0}}, "resampling.every is 0"),
        ("relu", {"resampling": {"every": 9, "until": 2}}, "resampling.until is 2 of the run"),
        ("topk", {"resampling": {"every": 9}}, "resampling is for SAEs of relu, and topk_5x_k4"),
        ("jumprelu", {"auxiliary": {"dead_after": 9}}, "auxiliary is for SAEs of batchtopk, "),
        ("topk", {"prefixes": [0.5, 1]}, "prefixes is for SAEs of matryoshka, and topk_5x_k4 is"),
        ("matryoshka", {"prefixes": [0.5, 0.25, 1]}, "prefixes are 0.5, 0.25, 1: write ascending"),
        ("matryoshka", {"prefixes": [0.5, 0.5, 1]}, "write ascending"),
        ("matryoshka", {"prefixes": [-1, 1]}, "write ascending"),
        ("matryoshka", {"prefixes": []}, "prefixes are none: write ascending"),
        ("matryoshka", {"prefixes": [0.25, 0.5]}, "end at 0.5 of the features: let the last be 1"),
        ("matryoshka", {"prefixes": [0.5, 60]}, "or whole numbers of features"),
        ("matryoshka", {"prefixes": [10, 50]}, "10, 50, which do not end at its 60 features"),
        ("matryoshka", {"prefixes": [0.001, 0.1, 1]}, "prefixes of its 60 features are 0, 6, 60"),
        ("matryoshka", {"prefixes": [1], "random_prefixes": 3}, "take one of them out"),
        ("matryoshka", {"random_prefixes": 1}, "random_prefixes is 1: write a whole number from 2"),
        ("matryoshka", {"random_prefixes": 61}, "random_prefixes is 61, more than the 60 features"),
        (
            "topk",
            {"auxiliary": {"dead_after": 9, "k": 57}},
            "auxiliary.k is 57, but at most 56 of the 60 features of topk_5x_k4 can be dead",
        ),
        ("batchtopk", {"decoder_bias": "some"}, "write none or added or tied"),
        (
            "relu",
            {"encoder_from_decoder": -0.5},
            "decoder is -0.5: it must be positive",
        ),
        ("batchtopk", {"adam_beta1": 1.0}, "adam_beta1 is 1.0: write a number from 0 on, below 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(family, own, sentence):
    spec = SaeSpec(family, FACTOR, K)

    def check():
        check_own(spec, own, "here: ")
        check_own_size(spec, own, WIDTH, "here: ")

    with pytest.raises(UserError) as error:
        check()
    assert sentence in str(error.value)
    assert str(error.value).startswith("here: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_begins_as_its_decoder(family):
    drawn, begun = trainer(family), trainer(family, encoder_from_decoder=0.7)
    assert torch.equal(begun.weights[DECODER_WEIGHT], drawn.weights[DECODER_WEIGHT])
    assert torch.equal(begun.weights["encoder_bias"], drawn.weights["encoder_bias"])
    encoder, decoder = (begun.weights[name].data for name in ("encoder_weight", DECODER_WEIGHT))
    lengths = decoder.double().norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        encoder.double(), 0.7 * decoder.double() / lengths, rtol=1e-6, atol=0
    )
    assert not torch.equal(encoder, drawn.weights["encoder_weight"])


def test_as_many_as_can_be_dead_are_accepted():
    own = {"auxiliary": {"dead_after": 9, "k": 56}}
    check_own_size(SaeSpec("topk", FACTOR, K), own, WIDTH)
    check_own_size(SaeSpec("matryoshka", FACTOR, K), {"prefixes": [10, 60]}, WIDTH)


def test_training_refuses_them_as_well(tmp_path):
    spec = SaeSpec("batchtopk", 4, 3)
    settings = TrainingSettings(batch_size=60, own={spec.name: {"prefixes": [0.5, 1]}})
    with (
        ActivationCache(write_cache(tmp_path, mixture_activations(20, 12))) as cache,
        pytest.raises(UserError, match="prefixes is for SAEs of matryoshka"),
    ):
        train([spec], cache, settings, "cpu")


def test_sections_say_themselves_in_words():
    assert str(Schedule()) == "constant"
    assert str(Schedule(0.05, 0.2)) == (
        "rising over 5% of the steps, then linear fall to 0 over the last 20%"
    )
    assert "half the width features per token, dead after 9" in str(Auxiliary(9))
    assert math.isclose(Auxiliary(9).coefficient, 1 / 32)
