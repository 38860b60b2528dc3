"""Where a rule of SAEs begins to hold: tables of choices, thresholds, normalisations, warnings."""

import inspect
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cache_fixtures import random_activations, write_cache
from screen_fixtures import WIDTH

from visae.activations.cache import ActivationCache
from visae.activations.source import Activations
from visae.base.errors import UserError
from visae.sae import screened
from visae.sae.checkpoint import load_sae, save_sae
from visae.sae.choices import (
    Auxiliary,
    Resampling,
    Schedule,
    as_settings,
    check_prefixes,
    in_words,
    prefix_stops,
)
from visae.sae.concerns import concerns
from visae.sae.describe import describe_data, describe_held_out, describe_sae
from visae.sae.families import FAMILIES, L0_TOLERANCE
from visae.sae.folder import spec_of
from visae.sae.model import INPUT_NORMALISATIONS, LAYER_NORM_EPSILON, SELECTIONS, SparseAutoencoder
from visae.sae.resampling import Resampler
from visae.sae.screen import Features, Tokens, rounding_of_sums
from visae.sae.screen_bytes import BYTES
from visae.sae.screen_halves import HALVES, Halves
from visae.sae.sparse import SparseCodes, set_sparse_gradients
from visae.sae.specs import SaeSpec, TrainingSettings, check_own, check_own_size, check_size
from visae.sae.steering import Control, SteeredTrainer
from visae.sae.threshold import ActiveCodes, BatchMinima, LargestValues, Threshold
from visae.sae.trainer import Trainer

# ---------------------------------------------------------------- models


def model(**changes):
    random = torch.Generator().manual_seed(0)
    weight = torch.nn.functional.normalize(torch.randn(6, 4, generator=random), dim=1)
    own = {
        "encoder_weight": weight, "encoder_bias": torch.full((6,), 0.05), "decoder_weight": weight,
        "threshold": torch.tensor(0.3), "activation_mean": torch.tensor([1.0, -2, 0.5, 0]),
        "activation_std": torch.tensor(2.0),
    }  # fmt: skip
    return SparseAutoencoder(**(own | changes))


def normalised_token(kind, a):
    """One token by the docstring of INPUT_NORMALISATIONS; with what undoes it."""
    if kind == "layer_norm":
        shift, scale = a.mean(), a.std(ddof=1)
        return (a - shift) / (scale + LAYER_NORM_EPSILON), shift, scale
    if kind == "constant_norm":
        scale = np.linalg.norm(a) / math.sqrt(len(a)) or 1.0
        return a / scale, 0.0, scale
    return a, 0.0, 1.0


@pytest.mark.parametrize("kind", INPUT_NORMALISATIONS)
@pytest.mark.parametrize("type_", [torch.float32, torch.float16])
def test_tokens_are_normalised_and_restored_as_each_library_does(kind, type_):
    sae = model(input_normalisation=kind)
    tokens = 3 + torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    tokens = tokens.to(type_)
    tokens[1, 2] = 0 if kind == "constant_norm" else tokens[1, 2]
    mean, std = sae.activation_mean.numpy(), 2.0
    found = sae.normalise(tokens)
    assert found.dtype == torch.float32
    codes = torch.randn(2, 5, 4)
    restored = sae.denormalise(codes, None if kind == "none" else tokens)
    for i in range(2):
        for j in range(5):
            own, shift, scale = normalised_token(kind, tokens[i, j].double().numpy())
            np.testing.assert_allclose(found[i, j], (own - mean) / std, rtol=1e-4, atol=1e-5)
            expected = (codes[i, j].numpy() * std + mean) * scale + shift
            np.testing.assert_allclose(restored[i, j], expected, rtol=1e-4, atol=1e-5)
    if kind != "none":
        with pytest.raises(ValueError, match="needs them to undo it"):
            sae.denormalise(codes)


def test_the_statistics_of_a_token_are_those_of_its_rule():
    tokens = torch.tensor([[1.0, 3, 5, 7], [0, 0, 0, 0]])
    shift, scale = model(input_normalisation="layer_norm").token_statistics(tokens.half())
    assert shift.tolist() == [[4], [0]]
    assert scale[:, 0].tolist() == pytest.approx([np.std([1, 3, 5, 7], ddof=1), 0])
    shift, scale = model(input_normalisation="constant_norm").token_statistics(tokens)
    assert shift.tolist() == [[0], [0]]
    assert scale[:, 0].tolist() == pytest.approx([math.sqrt(84) / 2, 1])


def test_what_is_said_of_a_rule_is_what_differs_from_those_trained_here():
    assert model().inference == {}
    assert (model().features, model().width) == (6, 4)
    for changes in ({"activation": "topk", "k": 3}, {"input_normalisation": "layer_norm"}):
        expected = {"activation": "threshold", "k": None, "input_normalisation": "none"} | changes
        assert model(**changes).inference == expected
    signed = {rule for rule in ("threshold", *SELECTIONS) if model(activation=rule, k=2).signed}
    assert signed == {"signed_topk", "abs_topk"}
    assert set(model().tensors()) == {
        "encoder_weight", "encoder_bias", "decoder_weight", "threshold", "activation_mean",
        "activation_std",
    }  # fmt: skip
    pre = torch.tensor([[0.3, 0.29, -1.0, 2.0, 0.0, 0.31]])
    assert model().activate(pre.clone())[0].tolist() == pytest.approx([0.3, 0, 0, 2, 0, 0.31])
    for rule, select in SELECTIONS.items():
        assert torch.equal(model(activation=rule, k=2).activate(pre.clone()), select(pre, 2))


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize("scale", [1e-3, 1.0])
@pytest.mark.parametrize("budget", [1, 3, 5, 6, 7])
def test_the_largest_values_however_small_they_are(scale, budget):
    """Six positive values of eight, in pieces of two; ties with the smallest are kept."""
    values = scale * torch.tensor([0.01, 0.5, -1.0, 0.02, 0.5, 0.03, 0.0, 0.04])
    kept = LargestValues(budget)
    for piece in values.split(2):
        kept.add(piece)
    found = kept.threshold(4)
    expected = np.sort(values[values > 0].numpy())[::-1]
    smallest = expected[min(budget, 6) - 1]
    assert found.value == pytest.approx(float(smallest))
    assert found.l0 == np.count_nonzero(expected >= smallest) / 4
    assert found.saturated == (budget > 6)
    assert kept.cut_to(1).threshold(4).l0 == 2 / 4  # the two largest are equal


def test_a_stream_is_cut_to_its_budget_before_memory_fills():
    kept, random = LargestValues(4), torch.Generator().manual_seed(0)
    values = torch.rand(40, 3, generator=random) + 0.1
    for number, piece in enumerate(values):
        kept.add(piece)
        assert sum(map(len, kept._pieces)) == kept._held
        assert kept._held <= 1.5 * 4
        seen = values[: number + 1].ravel().sort(descending=True).values
        if kept._held == 4 and len(seen) >= 4:
            assert kept._floor == float(seen[3])
    assert kept.threshold(40).value == float(values.ravel().sort(descending=True).values[3])
    nothing = LargestValues(4)
    nothing.add(torch.tensor([-1.0, 0.0]))
    assert nothing.threshold(2) == (0.0, 0.0, True)


def test_minima_of_batches_are_of_whole_ones_unless_there_is_none():
    codes = torch.arange(1.0, 15).reshape(7, 2)  # seven tokens, two features
    whole = BatchMinima(1, 3)
    for piece in codes.split([2, 4, 1]):
        whole.add(piece)
    assert whole.value() == np.mean([4, 10])  # the third largest of 1 … 6 and of 7 … 12
    rest = BatchMinima(1, 3)
    rest.add(codes[:2])
    assert rest.value() == 3


@pytest.mark.parametrize(("value", "active"), [(None, 4), (0.5, 2), (-1.0, 6)])
def test_active_codes_are_those_at_a_threshold_or_all_but_zero(value, active):
    counted = ActiveCodes(value)
    counted.add(torch.tensor([[0.5, 0.0], [0.2, 0.7]]))
    counted.add(torch.tensor([[-1.0, 0.0]]))
    assert counted.threshold(3) == (value, active / 3, False)


# ---------------------------------------------------------------- screened products

U = 2.0**-24


def rows_of(seed, number, width=WIDTH):
    """Rows of very different scales, and one of zeros."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(number, width)) * 10.0 ** random.integers(-5, 6, (number, 1))
    rows[1] = 0
    return torch.from_numpy(rows).float()


ARITHMETICS = {"bytes": BYTES, "halves": HALVES, "split": Halves(torch.tensor([3, 40]))}


@pytest.mark.parametrize("name", ARITHMETICS)
def test_what_rounding_does_to_rows_is_measured(name):
    rows = rows_of(0, 7)
    found = ARITHMETICS[name].rounded(rows)
    scaled = rows.double() * found.inverse[:, None]
    rest, rounded = scaled.clone(), found.rows.double()
    if name == "split":
        rest[:, [3, 40]] = 0
    largest = rest.abs().amax(dim=1)
    if name == "bytes":
        assert largest.tolist() == pytest.approx([127, 0, *[127] * 5])
        assert (rounded - rest).abs().max() <= 0.5001
    else:  # scales are powers of two
        assert (torch.frexp(found.inverse).mantissa == 0.5).all()
        assert ((largest[largest > 0] >= 2**13) & (largest[largest > 0] < 2**14)).all()
        torch.testing.assert_close(rounded, rest, rtol=2.0**-11, atol=0)
    norm, kept = scaled.norm(dim=1), rounded.norm(dim=1)
    product = rounding_of_sums(WIDTH) * norm if name == "split" else 0
    torch.testing.assert_close(found.norm, norm, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.lost, (rest - rounded).norm(dim=1) + product, rtol=1e-4,
                               atol=1e-3 * float(name == "bytes"))  # fmt: skip
    torch.testing.assert_close(found.kept, kept, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("largest", [2.0**55, 2.0**127, math.inf, math.nan, 2.0**55 * (1 - U)])
def test_rows_of_very_large_entries_are_not_bounded(name, largest):
    rows = torch.ones(2, WIDTH)
    rows[0, 5] = -largest
    found = ARITHMETICS[name].rounded(rows)
    bounded = largest < 2.0**55
    assert (found.inverse > 0).tolist() == [bounded, True]
    assert found.norm.isfinite().tolist() == found.lost.isfinite().tolist() == [bounded, True]
    assert found.kept[1] > 0
    if not bounded:
        assert not found.rows[0].any()
        assert (found.inverse[0], found.norm[0], found.lost[0], found.kept[0]) == (
            0, math.inf, math.inf, 0
        )  # fmt: skip


@pytest.mark.parametrize("width", [64, 768, 4096])
def test_sums_lose_what_higham_says_and_little_more(width):
    gamma = width * U / (1 - width * U)
    assert gamma < rounding_of_sums(width) < 1.02 * gamma + 9 * U
    assert 2 * width * 2.0**-23 < HALVES.sum_error(width) < 1.02 * width * 2.0**-22 + 17 * 2.0**-22
    assert BYTES.sum_error(width) == U  # of a whole number as float32


@pytest.mark.parametrize("name", ["bytes", "halves"])
def test_cuts_are_those_of_the_inequality(name):
    """Of `visae.sae.screen`: never above, and below by roundings of float32 alone."""
    arithmetic = ARITHMETICS[name]
    x, w, random = rows_of(1, 9), rows_of(2, 11), np.random.default_rng(3)
    bias, lower = torch.from_numpy(random.normal(size=(2, 11))).float()
    extra = torch.from_numpy(random.uniform(0, 2, 9)).float()
    tokens, features = Tokens(arithmetic, x, extra), Features(arithmetic, w, bias, lower)
    (qx, sx, *_), (qw, sw, *_) = arithmetic.rounded(x), arithmetic.rounded(w)
    for side in (tokens, features):  # larger by more than a sum of so many can lose
        own = arithmetic.rounded(side.rows)
        for found, measured in ((side._norm, own.norm), (side._kept, own.kept),
                                (side._lost, own.lost + 4 * U * own.norm)):  # fmt: skip
            assert (found[measured > 0] > ((1 + WIDTH * U) * measured)[measured > 0]).all()

    def norms(rows, scale, rounded):
        scaled = rows.double() * scale[:, None]
        return (
            scaled.norm(dim=1),
            (scaled - rounded.double()).norm(dim=1),
            rounded.double().norm(dim=1),
        )

    (nx, lx, kx), (nw, lw, kw) = norms(x, sx, qx), norms(w, sw, qw)
    gamma, sigma = rounding_of_sums(WIDTH), arithmetic.sum_error(WIDTH)
    reach = (lower + extra[:, None]).double() - bias
    terms = [
        reach * sx[:, None] * sw, -(lx + gamma * nx)[:, None] * nw, -kx[:, None] * (lw + sigma * kw)
    ]  # fmt: skip
    sizes = [
        (lower.abs() + extra[:, None] + bias.abs()).double() * sx[:, None] * sw,
        lx[:, None] * nw, kx[:, None] * lw,
    ]  # fmt: skip
    of_measures = 5 * U * (nx + kx)[:, None] * nw  # norms are of float32
    for found, expected, size, more in (
        (tokens.by_rounded.double().T @ features.by_rounded.double(), sum(terms), sum(sizes),
         of_measures),
        (
            tokens.by_floats.double().T @ features.by_floats.double(),
            reach - 2 * gamma * (x.double().norm(dim=1)[:, None] * w.double().norm(dim=1)),
            lower.abs() + extra[:, None] + bias.abs(),
            2.0**-15 * gamma * (x.double().norm(dim=1)[:, None] * w.double().norm(dim=1)),
        ),
    ):  # fmt: skip
        assert (found <= expected).all()
        assert (expected - found <= 2.0**-17 * size + more).all()


# ---------------------------------------------------------------- descriptions


@pytest.mark.parametrize("family", FAMILIES)
def test_only_steered_saes_of_a_known_target_converge(family):
    entry, threshold = FAMILIES[family], Threshold(0.25, 5.0, False)
    for label, sparsity in ((None, 5), ("mine", 5), ("mine", None)):
        spec = SaeSpec(family, 2, sparsity, label)
        found = describe_sae(spec, model(), threshold)
        assert ("converged" in found) == (entry.steered and sparsity is not None)
        assert found["k"] == (sparsity if entry.sparsity.counted else None)
        rest = {key: value for key, value in found.items() if key not in ("converged", "k")}
        assert rest == {
            "name": spec.name, "activation": family, "sparsity": sparsity, "threshold": 0.25,
            "input_dim": 4, "hidden_dim": 6, "expansion_factor": 2,
        }  # fmt: skip
    if entry.steered:
        for l0, reached in ((5 + L0_TOLERANCE, True), (5 - L0_TOLERANCE, True),
                            (5 + 1.01 * L0_TOLERANCE, False), (0.0, False)):  # fmt: skip
            found = describe_sae(SaeSpec(family, 2, 5), model(), Threshold(0.1, l0, False))
            assert found["converged"] is reached


def test_the_data_of_an_sae_are_said(tmp_path):
    path = write_cache(tmp_path, random_activations(9))
    with ActivationCache(path) as cache:
        other = Activations()
        other.info = replace(cache.info, split="val")
        found = describe_data(cache, other)
        assert found["grid"] == [3, 4]
        assert (found["images"], found["dataset"], found["split"]) == (9, "photographs", "train")
        assert found["statistics"] == "photographs/val"
        assert found["storage"] == cache.info.storage
        assert found["cache_fingerprint"] == cache.fingerprint
        assert "weights_reading" not in found
        settings = TrainingSettings(threshold_images=5)
        for saturated in (False, True):
            found = describe_held_out(cache, settings, Threshold(0.1, 2.5, saturated))
            assert ("note" in found) == saturated
            assert (found["images"], found["l0"]) == (5, 2.5)
            assert (found["dataset"], found["split"]) == ("photographs", "train")
            assert found["cache_fingerprint"] == cache.fingerprint


# ---------------------------------------------------------------- specs and settings


def test_settings_of_one_sae_have_none_of_another():
    one, two = SaeSpec("topk", 4, 8), SaeSpec("topk", 4, 16)
    own = {one.name: {"learning_rate": 0.5, "auxiliary": {"dead_after": 7}}}
    settings = TrainingSettings(batch_size=3, own=own)
    assert settings.of(one) == TrainingSettings(
        batch_size=3, learning_rate=0.5, auxiliary=Auxiliary(7)
    )
    assert settings.of(two) == TrainingSettings(batch_size=3)
    assert settings.of(one).own == {}
    assert settings.described(one)["learning_rate"] == 0.5
    idle = {"checkpoint_minutes", "recipes", "own", "prefixes", "random_prefixes"}
    assert not idle & set(settings.described(one))
    assert settings.described(one)["auxiliary"]["dead_after"] == 7
    relu = settings.described(SaeSpec("relu", 4, 1))
    assert not {"auxiliary", "resampling", "prefixes"} - set(FAMILIES["relu"].settings) & set(relu)
    jump = SaeSpec("jumprelu", 4, 8)
    first, *_, last = FAMILIES["jumprelu"].recipes
    for recipes, recipe in (({}, first), ({"jumprelu": last}, last)):
        assert TrainingSettings(recipes=recipes).described(jump)["recipe"] == recipe


@pytest.mark.parametrize(
    ("family", "sparsity", "label"),
    [("topk", 8, None), ("topk", 8, "mine"), ("relu", 0.5, None), ("topk", None, "mine")],
)
def test_the_spec_of_a_config_is_that_which_it_was_made_of(family, sparsity, label):
    spec = SaeSpec(family, 4, sparsity, label)
    config = {"name": spec.name, "activation": family, "expansion_factor": 4, "sparsity": sparsity}
    assert spec_of(config) == spec


@pytest.mark.parametrize(("rule", "tokens"), [("quantile", None), ("batch_minimum", 8192)])
def test_batches_of_thresholds_are_those_of_training(rule, tokens):
    assert TrainingSettings(threshold_rule=rule).threshold_batch == tokens


OPTIONAL = ("gradient_clip", "ragged_images", "encoder_from_decoder")
NUMBERS = ("batch_size", "learning_rate", "epochs", "log_interval", "window_images",
           "threshold_images", "checkpoint_minutes", *OPTIONAL)  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_training_are_positive(name):
    for value in (0, -1, math.nan, None):
        settings = TrainingSettings()
        object.__setattr__(settings, name, value)  # as where types are not checked
        if (value is None and name in OPTIONAL) or (value == 0 and name == "checkpoint_minutes"):
            settings.__post_init__()
            continue
        said = "is empty: give" if value is None else f"is {value}: it must be positive"
        with pytest.raises(UserError, match=f"training setting {name} {said}"):
            settings.__post_init__()


@pytest.mark.parametrize(("beta", "allowed"), [(0, True), (0.999, True), (1, False), (-0.1, False)])
def test_adams_mean_forgets_something(beta, allowed):
    if allowed:
        assert TrainingSettings(adam_beta1=beta).adam_beta1 == beta
        return
    with pytest.raises(UserError, match="adam_beta1 is"):
        TrainingSettings(adam_beta1=beta)


@pytest.mark.parametrize(
    ("factor", "sparsity", "label", "allowed"),
    [
        (1, 1, None, True), (0, 1, None, False), (0.5, 1, None, False), (0.5, 1, "x", True),
        (math.inf, 1, "x", False), (2, None, None, False), (2, None, "x", True),
        (2, 1.5, None, False), (2, 1.5, "x", True), (2, 0, "x", False), (2, math.inf, "x", False),
    ],
)  # fmt: skip
def test_which_specs_there_are(factor, sparsity, label, allowed):
    if allowed:
        spec = SaeSpec("topk", factor, sparsity, label)
        assert SaeSpec.from_text(spec.text) == spec
        return
    with pytest.raises(UserError):
        SaeSpec("topk", factor, sparsity, label)


def test_features_are_counted_and_no_more_can_be_active():
    spec = SaeSpec("topk", 2.4, 10, "mine")
    assert (spec.features(4), spec.features(5)) == (10, 12)
    check_size(spec, 4)
    with pytest.raises(UserError, match=r"^here: mine is to have 10 active .* has 7 in all"):
        check_size(spec, 3, "here: ")
    check_size(SaeSpec("relu", 1, 99), 3)
    check_size(SaeSpec("topk", 1, None, "x"), 3)
    with pytest.raises(UserError, match="sparsity of x is unknown"):
        SaeSpec("topk", 1, None, "x").target  # noqa: B018


@pytest.mark.parametrize(
    ("family", "own", "refused"),
    [
        ("topk", {"auxiliary": {"dead_after": 1, "k": 28}}, None),
        ("topk", {"auxiliary": {"dead_after": 1, "k": 29}}, "at most 28 of the 32"),
        ("topk", {"auxiliary": {"dead_after": 1}}, None),
        ("matryoshka", {"prefixes": [8, 32]}, None),
        ("matryoshka", {"prefixes": [8, 31]}, "do not end at its 32"),
        ("matryoshka", {"prefixes": [0.01, 1.0]}, "prefixes of its 32"),
        ("matryoshka", {"random_prefixes": 32}, None),
        ("matryoshka", {"random_prefixes": 33}, "random_prefixes is 33, more than the 32"),
    ],
)
def test_sizes_of_own_settings(family, own, refused):
    """32 features of width 8, of which 4 are active."""
    spec = SaeSpec(family, 4, 4)
    check_own(spec, own)
    if refused is None:
        check_own_size(spec, own, 8)
        return
    with pytest.raises(UserError, match=f"^here: .*{refused}"):
        check_own_size(spec, own, 8, "here: ")


def test_few_features_are_too_few_for_prefixes_alone():
    """A sixteenth of 8 is none."""
    check_own_size(SaeSpec("topk", 1, 4), {}, 8)
    with pytest.raises(UserError, match=r"^matryoshka_1x_k4: prefixes of its 8"):
        check_own_size(SaeSpec("matryoshka", 1, 4), {}, 8)


# ---------------------------------------------------------------- choices


@pytest.mark.parametrize(
    ("prefixes", "random", "refused"),
    [
        (None, None, None), (None, 2, None), (None, 1, "write a whole number from 2 on"),
        (None, 2.5, "whole number"), ((1,), 2, "both given"), ((0.5, 1), None, None),
        ((1,), None, None), ((), None, "prefixes are none"), ((0, 1), None, "ascending"),
        ((0.5, 0.5, 1), None, "ascending"), ((-1, 1), None, "ascending"), ((0.5,), None, "end at"),
        ((2, 8), None, None), ((0.5, 8), None, "whole numbers of features"), ((1, 2), None, None),
    ],
)  # fmt: skip
def test_which_prefixes_there_are(prefixes, random, refused):
    check = inspect.unwrap(check_prefixes)  # of any type
    if refused is None:
        check(prefixes, random)
        return
    with pytest.raises(UserError, match=refused):
        check(prefixes, random)


@pytest.mark.parametrize(
    ("prefixes", "features", "stops"),
    [
        (None, 16, [1, 2, 4, 8, 16]), (None, 8, None), ((1,), 5, [5]), ((0.5, 1), 5, [2, 5]),
        ((2, 5), 5, [2, 5]), ((2, 5), 6, None), ((0.05, 1), 5, None), ((0.3, 0.31, 1), 10, None),
    ],
)  # fmt: skip
def test_prefixes_end_at_numbers_of_features(prefixes, features, stops):
    if stops is None:
        with pytest.raises(UserError):
            prefix_stops(prefixes, features)
    else:
        assert prefix_stops(prefixes, features) == stops


def test_the_rate_of_each_step():
    def rates(steps, **changes):
        return [Schedule(**changes).factor(step, steps) for step in range(steps)]

    assert rates(4) == [1, 1, 1, 1]
    assert rates(4, warm_up=0.5) == [0.5, 1, 1, 1]
    assert rates(4, decay=0.5) == [1, 1, 1, 0.5]
    assert rates(4, warm_up=0.5, decay=0.5) == [0.5, 1, 1, 0.5]
    assert rates(4, decay=1.0) == [1, 0.75, 0.5, 0.25]
    third = [(1 + math.cos(math.pi * n / 3)) / 2 for n in range(3)]
    assert rates(3, decay=1.0, shape="cosine") == pytest.approx(third)
    assert str(Schedule()) == "constant"
    assert str(Schedule(0.1, 0.2, "cosine")) == (
        "rising over 10% of the steps, then cosine fall to 0 over the last 20%"
    )
    assert str(Schedule(decay=0.2)) == "linear fall to 0 over the last 20%"


@pytest.mark.parametrize(
    ("kind", "settings", "refused"),
    [
        (Schedule, {"warm_up": 0.4, "decay": 0.6}, None),
        (Schedule, {"warm_up": 0.5, "decay": 0.6}, "longer than the run"),
        (Schedule, {"warm_up": 1}, None), (Schedule, {"decay": 1.1}, "decay is 1.1"),
        (Schedule, {"warm_up": -0.1}, "warm_up is -0.1"), (Schedule, {"shape": "x"}, "shape is"),
        (Auxiliary, {"dead_after": 0}, "dead_after is 0"), (Auxiliary, {"dead_after": 1}, None),
        (Auxiliary, {"dead_after": 1, "k": 0}, "k is 0"),
        (Auxiliary, {"dead_after": 1, "coefficient": 0}, "coefficient is 0"),
        (Resampling, {"every": 0}, "every is 0"), (Resampling, {"every": 1, "until": 1}, None),
        (Resampling, {"every": 1, "until": 0}, "until is 0"),
        (Resampling, {"every": 1, "until": 1.1}, "until is 1.1"),
    ],
)  # fmt: skip
def test_which_choices_there_are(kind, settings, refused):
    if refused is None:
        assert vars(kind(**settings)).items() >= settings.items()
        return
    with pytest.raises(UserError, match=refused):
        kind(**settings)


def test_settings_as_a_config_writes_them():
    assert as_settings({"prefixes": [1, 2], "loss": "sum", "schedule": {"decay": 0.5}}) == {
        "prefixes": (1, 2), "loss": "sum", "schedule": Schedule(decay=0.5)
    }  # fmt: skip
    with pytest.raises(UserError, match="resampling lacks the key 'every'; add it"):
        as_settings({"resampling": {"until": 1}})
    with pytest.raises(UserError, match="has the key 'x'; known keys: every, until"):
        as_settings({"resampling": {"x": 1}})
    own = {"prefixes": [1, 2], "gradient_clip": None, "recipes": {"a": "b"},
           "resampling": {"every": 5, "until": 0.25}, "auxiliary": {"dead_after": 3}}  # fmt: skip
    parts = ["1, 2", "none", "b", "every 5 tokens until 25% of the run",
             "coefficient 0.03125, half the width features per token, dead after 3 "
             "tokens"]  # fmt: skip
    assert in_words(own, named=False) == "; ".join(parts)
    names = ["prefixes", "gradient clip", "recipes", "resampling", "auxiliary"]
    assert in_words(own) == "; ".join(map(" ".join, zip(names, parts, strict=True)))
    assert in_words({"auxiliary": {"dead_after": 3, "k": 7}}, False).split(", ")[1][0] == "7"


# ---------------------------------------------------------------- what speaks against an SAE


@pytest.mark.parametrize(
    ("known", "begin", "end"),
    [
        ({"steps": 49}, "trained for 49 steps only: ", " more images"),
        ({"steps": 50}, None, None),
        ({"steps": 2, "passes": 2}, "trained for 2 steps (2 passes) only", "images"),
        ({"fvu": 0.999}, None, None),
        ({"fvu": 1.0}, "FVU 1.00 is no better", "train for more steps, or change training.lear"),
        ({"fvu": 1.0, "imported": True}, "FVU 1.00 is no better", "`reading` says"),
        ({"dead_fraction": 0.9}, "90% of the features", "or lower the expansion factor"),
        ({"dead_fraction": 0.899}, None, None),
        ({"dead_fraction": 1, "imported": True}, "100% of", "`reading` says"),
        ({"l0": 8.0, "target": 4}, None, None), ({"l0": 2.0, "target": 4}, None, None),
        ({"l0": 8.1, "target": 4}, "L0 is 8.1 for a target of 4", "or change the target"),
        ({"l0": 1.9, "target": 4, "imported": True}, "L0 is 1.9 for", "`reading` says"),
        ({"l0": 8.1}, None, None), ({"l0": None, "target": 4}, None, None),
        ({"l0": 5.0, "target": 0}, None, None),
    ],
)  # fmt: skip
def test_where_a_warning_begins(known, begin, end):
    found = concerns(**known)
    assert len(found) == (begin is not None)
    if found:
        assert found[0].startswith(begin)
        assert end in found[0]
        assert end.startswith("train") or found[0].endswith(end)


# ---------------------------------------------------------------- while training


class Forgetful:
    """Stands for a trainer: weights, and an optimizer that notes what it forgets."""

    def __init__(self, features, width):
        self.weights = {
            "encoder": torch.ones(features, width), "bias": torch.ones(features),
            "decoder": torch.ones(features, width),
        }  # fmt: skip
        self.forgotten = []
        self.optimizer = self

    def forget(self, parameter, rows):
        self.forgotten.append((parameter, rows.tolist()))


@pytest.mark.parametrize(
    ("tokens", "done", "fired", "drawn"),
    [
        ([5, 5], 0.5, [0, 1], [2]), ([5, 4], 0.5, [0, 1], None), ([5, 5], 0.51, [0, 1], None),
        ([10], 0.0, [0, 1, 2], []), ([10], 0.0, [], []), ([9, 1], 0.5, [2], [0, 1]),
    ],
)  # fmt: skip
def test_features_are_drawn_after_so_many_tokens_where_some_are_dead(tokens, done, fired, drawn):
    """drawn: which; None: it is not yet time, or too late."""
    trainer, resampler = Forgetful(3, 4), Resampler(Resampling(10, 0.5), 3, 0, torch.device("cpu"))
    mask = torch.zeros(3, dtype=torch.bool)
    mask[fired] = True
    for count in tokens:
        x = torch.eye(4)[torch.arange(count) % 4] * 3
        resampler.after_step(trainer, x, x, mask, done)
    state = resampler.state()
    assert state["tokens"] == (sum(tokens) if drawn is None else 0)
    assert state["fired"].tolist() == (mask.tolist() if drawn is None else [False] * 3)
    own = drawn or []
    kept = [row for row in range(3) if row not in own]
    for name, weight in trainer.weights.items():
        assert (weight[kept] == 1).all(), name
    for row in own:
        assert trainer.weights["bias"][row] == 0
        assert trainer.weights["decoder"][row].norm() == 1
        expected = 0.2 * 2 * trainer.weights["decoder"][row]  # the others' rows have length 2
        torch.testing.assert_close(trainer.weights["encoder"][row], expected)
    assert [rows for _, rows in trainer.forgotten] == [own] * (3 if own else 0)


def test_the_coefficient_is_steered_by_what_it_says(monkeypatch):
    """log λ = start + clamp(Σ integral · e + proportional · e), of the batches' L0."""

    class Steered(SteeredTrainer):
        recipe = Control(0.5, 2.0, 3.0)

        def __init__(self):
            self.spec, self.features = SimpleNamespace(target=4), 10
            zero = torch.zeros(())
            self.device, self.log_coefficient, self._start, self._integral = "cpu", zero, None, zero

        def _calibrate(self, x):
            return torch.tensor(-7.0)

    l0s = [4, 8, 0, 100, 2, 4]
    active = iter([10.0 * l0 for l0 in l0s])  # of ten tokens
    monkeypatch.setattr(
        Trainer, "step", lambda self, x: SimpleNamespace(active=torch.tensor(next(active)))
    )
    trainer, found, integral = Steered(), [], 0.0
    for l0 in l0s:
        trainer.step(torch.zeros(10, 2))
        error = math.log(max(l0, 1e-3) / 4)
        integral = min(max(integral + 0.5 * error, -3.0), 3.0)
        change = min(max(integral + 2 * error, -3.0), 3.0)
        found.append((float(trainer.log_coefficient), -7 + change))
    np.testing.assert_allclose(*zip(*found, strict=True), rtol=1e-5)
    pre = torch.arange(40.0).reshape(20, 2)
    trainer.features = 40  # 20 tokens · 4 of 40: the two largest of each feature
    assert trainer.quantile(pre).tolist() == [36, 37]
    trainer.features = 1000
    assert trainer.quantile(pre).tolist() == [38, 39]


def trainer(family, **changes):
    """Of 20 features of width 5, of which 4 are active."""
    return FAMILIES.module(family, "trainer").TRAINER(
        SaeSpec(family, 4, 4), 5, TrainingSettings(**changes), "cpu"
    )


@pytest.mark.parametrize(
    ("family", "changes", "integral", "proportional", "most"),
    [
        ("jumprelu", {"recipes": {"jumprelu": "paper"}}, 0.01, 0, 1e6),
        ("jumprelu", {"recipes": {"jumprelu": "calibrated"}}, 0.01, 10, 1e3),
        ("gated", {}, 0.01, 1, 1e3),
    ],
)
def test_how_fast_and_how_far_a_coefficient_is_steered(
    monkeypatch, family, changes, integral, proportional, most
):
    sae, x = trainer(family, **changes), torch.randn(50, 5)
    monkeypatch.setattr(
        Trainer, "step", lambda self, x: SimpleNamespace(active=torch.tensor(6.0 * len(x)))
    )
    sae.step(x)
    rise = (integral + proportional) * math.log(6 / 4)
    assert float(sae.log_coefficient - sae._start) == pytest.approx(rise, abs=1e-6)
    for active, bound in ((1e30, most), (0.0, 1 / most)):
        monkeypatch.setattr(
            Trainer, "step", lambda self, x, n=active: SimpleNamespace(active=torch.tensor(n))
        )
        for _ in range(2000):
            sae.step(x)
        assert float(sae.log_coefficient - sae._start) == pytest.approx(math.log(bound), rel=1e-5)


def test_gates_begin_where_l0_is_the_target_and_a_code_pays_for_itself():
    """λ / 2 is the mean height at which gates open; of lower ones 0.001 is taken."""
    sae = trainer("gated")
    x = torch.randn(500, 5, generator=torch.Generator().manual_seed(0))
    sae.weights["encoder_weight"].data[:10] *= 1e-5
    h = x.double() @ sae.weights["encoder_weight"].double().T
    opens = h.sort(dim=0, descending=True).values[500 * 4 // 20 - 1].detach()
    assert (opens[:10] < 1e-3 / 2).all()
    assert (opens[10:] > 2e-3).all()
    with torch.no_grad():
        start = sae._calibrate(x)
    torch.testing.assert_close(-sae.gate_bias.detach().double(), opens, rtol=1e-4, atol=1e-9)
    expected = math.log(2 * float(opens.clamp(min=1e-3).mean()))
    assert float(start) == pytest.approx(expected, abs=1e-5)


def test_a_batchs_threshold_is_looked_for_where_it_would_be_if_it_fell_as_before():
    sae = trainer("batchtopk")
    assert list(sae._brackets()) == [0]
    for threshold, fall in ((2.0, 0.1), (1.9, 0.05), (1.9, 0.025), (0.95, 0.5), (1.9, 0.25)):
        assert sae._remember(threshold) == threshold
        assert sae._fall == pytest.approx(fall)
        first = threshold * max(0.98 - 2 * fall, 0.7)
        assert list(sae._brackets()) == pytest.approx([first, 0.7 * threshold, 0])


@pytest.mark.parametrize(("part", "parts"), [(0.0, [0]), (0.01, [0.01]), (10.0, [10, 6, 0])])
def test_codes_are_looked_for_from_a_part_of_the_norm_and_then_from_less(monkeypatch, part, parts):
    """Where no code is so large, all tokens are looked at again."""
    monkeypatch.setattr(screened, "SCREENED_WEIGHTS", 1)
    module, asked = FAMILIES.module("topk", "trainer"), []
    found = module.screened_codes

    def noted(tokens, encoder):
        asked.append((tokens.lower / tokens.rows.norm(dim=1)).tolist())
        return found(tokens, encoder)

    monkeypatch.setattr(module, "screened_codes", noted)
    sae = module.TRAINER(SaeSpec("topk", 4, 5), WIDTH, TrainingSettings(), "cpu")
    sae._part = part
    sae.active_codes(torch.randn(30, WIDTH, generator=torch.Generator().manual_seed(0)))
    assert asked == [pytest.approx([each] * 30) for each in parts]


@pytest.mark.parametrize(
    ("activation", "k", "normalisation", "stands"),
    [
        ("topk", 1, "none", True), ("topk", 6, "none", True), ("topk", 7, "none", False),
        ("topk", 0, "none", False), ("topk", None, "none", False), ("topk", 2.0, "none", False),
        ("abs_topk", 7, "layer_norm", False), ("group_max", 3, "none", True),
        ("group_max", 6, "none", True), ("group_max", 4, "none", False), ("x", 2, "none", False),
        ("threshold", None, "layer_norm", True), ("threshold", None, "x", False),
        ("threshold", 7, "constant_norm", True),
    ],
)  # fmt: skip
def test_which_inference_an_sae_of_six_features_has(tmp_path, activation, k, normalisation, stands):
    sae = model(decoder_weight=model().decoder_weight.clone())
    sae.activation, sae.k, sae.input_normalisation = activation, k, normalisation
    save_sae(tmp_path / "sae", sae, {"hidden_dim": 6, "input_dim": 4}, [])
    if stands:
        read = load_sae(tmp_path / "sae").model
        assert (read.activation, read.k, read.input_normalisation) == (activation, k, normalisation)
        return
    with pytest.raises(UserError, match=r"states the inference .* no SAE of 6 features has"):
        load_sae(tmp_path / "sae")


def test_codes_below_their_threshold_are_kept_as_far_as_the_kernel_reaches():
    """That is 40 of its widths, of half a thousandth each."""
    sae, x = trainer("jumprelu"), torch.randn(5000, 5, generator=torch.Generator().manual_seed(0))
    sae.log_threshold.data.fill_(math.log(0.3))
    codes = sae.active_codes(x)
    below = sae._distances[sae._distances < 0]
    assert -0.02 <= float(below.min()) < -0.018
    assert (codes.values == 0).sum() == len(below)


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("width", [1, 7, 63, 64, 65, 129])
def test_gradients_by_active_codes_are_those_of_matrices_at_any_width(width, tokens):
    random, features = np.random.default_rng(0), 6
    codes_bf = random.normal(size=(tokens, features)).astype(np.float32)
    codes_bf[:, 1] = codes_bf[0, 3:] = 0
    rows, active = codes_bf.nonzero()
    starts = np.append(0, np.cumsum((codes_bf != 0).sum(axis=1)))
    codes = SparseCodes(starts, active.astype(np.int32), codes_bf[rows, active])
    x_bd = random.normal(size=(tokens, width)).astype(np.float32)
    decoder_fd = random.normal(size=(features, width)).astype(np.float32)
    weights = torch.zeros(features, width), torch.zeros(features), torch.from_numpy(decoder_fd)
    parameters = encoder, bias, decoder = [torch.nn.Parameter(values) for values in weights]
    loss, found = set_sparse_gradients(
        torch.from_numpy(x_bd), codes, *parameters, lambda _: None, width
    )
    residual = codes_bf.astype(np.float64) @ decoder_fd - x_bd
    by_codes = (residual @ decoder_fd.T) * (codes_bf != 0) * 2 / x_bd.size
    assert loss == pytest.approx((residual**2).mean(), rel=1e-5)
    np.testing.assert_allclose(found, residual, atol=1e-5)
    for parameter, expected in (
        (encoder, by_codes.T @ x_bd),
        (bias, by_codes.sum(axis=0)),
        (decoder, codes_bf.T @ residual * 2 / x_bd.size),
    ):
        np.testing.assert_allclose(parameter.grad, expected, rtol=1e-4, atol=1e-5)
