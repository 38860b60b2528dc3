"""The screened product of float16: what a GPU does, by the same torch operations on the CPU."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from screen_fixtures import FEATURES, KINDS, TOKENS, WIDTH, heavy_tails, odd, outlier_channels, rows

from visae.encoding import encoders
from visae.encoding.encoders import DenseEncoder, SparseEncoder, halves_are_faster
from visae.sae import screen, screen_halves, screened
from visae.sae.model import SparseAutoencoder
from visae.sae.screen import Features, Tokens, rounding_of_sums
from visae.sae.screen_halves import HALVES, HalfScreen, split_tokens, sums_hold

U = 2.0**-24
in_float32 = screen_halves.product


def cut_off(left_td, right_df, half):
    """As a tensor core: four exact products and the sum before, aligned, cut off after 24 bits."""
    left, right = left_td.double().numpy(), right_df.double().numpy()
    total = np.zeros((len(left), right.shape[1]))

    def cut(values, largest):
        unit = 2.0 ** (np.floor(np.log2(np.where(largest > 0, largest, 1))) - 23)
        return np.trunc(values / unit) * unit

    for k in range(0, len(right), 4):
        terms = [total, *(left[:, [i]] * right[i] for i in range(k, k + 4))]
        largest = np.max(np.abs(terms), axis=0)
        total = sum(cut(term, largest) for term in terms)
        total = cut(total, np.abs(total))
    return torch.from_numpy(total).float()


def least(left_td, right_df, half):
    """As little as may be found of what is assumed."""
    left, right = left_td.double(), right_df.double()
    norms = torch.linalg.vector_norm(left, dim=1)[:, None] * torch.linalg.vector_norm(right, dim=0)
    return (left @ right - 0.999 * HALVES.sum_error(len(right)) * norms).float()


def features_of(rows_fd, bias, lower):
    return Features(HALVES, rows_fd, torch.from_numpy(bias), torch.from_numpy(lower))


def found(tokens, features, part=slice(None)):
    """Codes [T, F], 0 where there is none; their rows are in order."""
    codes = HalfScreen(tokens).find(features, part)
    assert (np.diff(codes.rows * len(features.rows) + codes.columns) > 0).all()
    return codes.dense(len(features.rows[part])).numpy()


@pytest.fixture(autouse=True)
def never_crowded(monkeypatch):
    monkeypatch.setattr(screened, "CROWDED", 1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from((in_float32, cut_off, least)),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.integers(0, 2**32),
    st.sampled_from((0.0, 0.5, 0.9, 0.99)),
    st.booleans(),
)
@example(in_float32, odd, odd, 0, 0.9, False)
@example(least, outlier_channels, heavy_tails, 0, 0.99, True)
def test_what_is_kept_is_what_the_float32_products_say(
    product, kind_x, kind_w, seed, quantile, split
):
    random = np.random.default_rng(seed)
    x_td, w_fd = rows(kind_x, random, TOKENS), rows(kind_w, random, FEATURES)
    bias = random.normal(size=FEATURES).astype(np.float32)
    everything = np.full(FEATURES, -np.inf, np.float32)
    tokens = split_tokens(x_td) if split else Tokens(HALVES, x_td)
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(screen_halves, "product", product)
        # Nothing is below minus infinity: every code is computed.
        all_codes = found(tokens, features_of(w_fd, bias, everything))
        # A threshold that some code meets exactly.
        finite = np.where(np.isfinite(all_codes), all_codes, 0)
        lower = np.quantile(finite, quantile, axis=0, method="higher").astype(np.float32)
        expected = np.where((all_codes < lower) | (all_codes <= 0), 0, all_codes)
        codes = found(tokens, features_of(w_fd, bias, lower))
        # A sum of float32 depends on where a row begins in memory.
        sums = x_td.double().abs().numpy() @ w_fd.double().abs().numpy().T + np.abs(bias)
        pre = x_td.double().numpy() @ w_fd.double().numpy().T + bias
        near = 2 * (WIDTH + 2) * U * (sums + np.abs(lower)) + 1e-36
    np.testing.assert_array_equal(codes, expected)
    # The same, in another precision: only what is within rounding of the threshold may differ.
    bounded = np.isfinite(pre) & (sums < 1e38)
    right = codes > 0
    clear = bounded & (np.abs(pre - lower) > near) & (np.abs(pre) > near)
    assert (right == ((pre >= lower) & (pre > 0)))[clear].all()
    right &= bounded
    assert (np.abs(codes[right] - pre[right]) <= near[right]).all()


@pytest.mark.parametrize("rounded", ["tokens", "features"])
@pytest.mark.parametrize("product", [in_float32, least])
def test_the_bound_holds_where_it_is_tight(monkeypatch, rounded, product):
    """All that rounding takes from one side is parallel to the other: Cauchy–Schwarz is equal."""
    monkeypatch.setattr(screen_halves, "product", product)
    if product is least:  # and the product of float32 is as large as it may be

        def most(self, starts, columns, rows_fd):
            norms = self._tokens.rows.norm() * rows_fd.norm()
            return computed(self, starts, columns, rows_fd) + 0.98 * rounding_of_sums(WIDTH) * norms

        computed = HalfScreen._computed
        monkeypatch.setattr(HalfScreen, "_computed", most)
    rest, exact = torch.full((1, WIDTH), 1 + 0.99 * 2.0**-11), torch.ones(1, WIDTH)
    x_td, w_fd = (rest, exact) if rounded == "tokens" else (exact, rest)
    bias, everything = np.zeros(1, np.float32), np.array([-np.inf], np.float32)
    code = found(Tokens(HALVES, x_td), features_of(w_fd, bias, everything))
    assert code > WIDTH
    assert found(Tokens(HALVES, x_td), features_of(w_fd, bias, code[0])) == code


def an_sae(random, features=300, width=WIDTH, thresholds="shared"):
    weight = torch.from_numpy(random.normal(size=(features, width))).float()
    threshold = torch.tensor(16.0)
    if thresholds == "own":
        threshold = 15 + torch.from_numpy(random.uniform(size=features)).float()
    return SparseAutoencoder(
        encoder_weight=weight,
        encoder_bias=torch.from_numpy(random.normal(size=features)).float(),
        decoder_weight=torch.nn.functional.normalize(weight, dim=1),
        threshold=threshold,
        activation_mean=torch.zeros(width),
        activation_std=torch.tensor(1.0),
    )


def close(one, other):
    for name, value in vars(one).items():
        np.testing.assert_allclose(value, getattr(other, name), rtol=2e-3, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(one.firing_count, other.firing_count)


@pytest.mark.parametrize("thresholds", ["shared", "own"])
@pytest.mark.parametrize("outlying", [False, True])
def test_units_are_those_of_the_whole_product(monkeypatch, thresholds, outlying):
    random = np.random.default_rng(0)
    monkeypatch.setattr(DenseEncoder, "feature_block", 128)
    sae = an_sae(random, thresholds=thresholds)
    x_npd = torch.from_numpy(random.normal(size=(3, 12, WIDTH))).float()
    if outlying:
        channels = [3, 30, 50]
        x_npd[..., channels] *= 1000
        sae.encoder_weight[:, channels] /= 1000
        assert split_tokens(x_npd.flatten(0, 1)).arithmetic.split is not None
    of_screen, whole = (
        DenseEncoder(sae, (3, 4), (1, 2), 1e-8, way)(x_npd) for way in (True, False)
    )
    close(of_screen, whole)
    close(of_screen, SparseEncoder(sae, (3, 4), (1, 2), 1e-8)(x_npd))
    assert 100 < of_screen.firing_count.sum() < 0.1 * 36 * 300
    # What is found depends on the unit alone.
    encoder = DenseEncoder(sae, (3, 4), (1, 2), 1e-8, True)
    encoder(1000 * x_npd)
    for name, value in vars(encoder(x_npd)).items():
        np.testing.assert_array_equal(value, getattr(of_screen, name), err_msg=name)


def test_a_token_without_numbers_is_what_it_is_by_the_whole_product():
    random = np.random.default_rng(0)
    sae, x_npd = an_sae(random), torch.from_numpy(random.normal(size=(3, 12, WIDTH))).float()
    x_npd[0, 0] = np.nan
    of_screen, whole = (DenseEncoder(sae, (3, 4), (1,), 1e-8, way)(x_npd) for way in (True, False))
    close(of_screen, whole)
    assert np.isnan(of_screen.squared_error)


def test_without_codes_there_is_nothing_to_find():
    random = np.random.default_rng(0)
    sae, x_npd = an_sae(random), torch.from_numpy(random.normal(size=(3, 12, WIDTH))).float()
    sae.threshold = torch.tensor(1e6)
    unit = DenseEncoder(sae, (3, 4), (1,), 1e-8, True)(x_npd)
    assert unit.firing_count.sum() == 0
    assert unit.squared_error == pytest.approx(float((x_npd.double() ** 2).sum()))


def test_where_many_are_candidates_the_whole_product_is_used(monkeypatch):
    monkeypatch.setattr(screened, "CROWDED", 0.125)
    random = np.random.default_rng(0)
    sae, x_npd = an_sae(random), torch.from_numpy(random.normal(size=(3, 12, WIDTH))).float()
    sae.threshold = torch.tensor(0.0)
    of_screen, whole = (DenseEncoder(sae, (3, 4), (1,), 1e-8, way)(x_npd) for way in (True, False))
    for name, value in vars(of_screen).items():
        np.testing.assert_array_equal(value, getattr(whole, name), err_msg=name)
    side = encoders.encoder_side(HALVES, sae)
    tokens = split_tokens(x_npd.flatten(0, 1))
    assert HalfScreen(tokens).find(side, slice(0, 300)) is None


@pytest.mark.parametrize("k", [64, 256])
def test_few_candidates_are_not_kept(k):
    """At the paper's shapes, with channels of 50 times the others too; the plan counts 1.1."""
    random = np.random.default_rng(0)
    weight = torch.from_numpy(random.normal(size=(6144, 768))).float()
    weight = torch.nn.functional.normalize(weight, dim=1)
    x_td = torch.from_numpy(random.normal(size=(196, 768))).float()
    for factor in (1, 50):
        x_td[:, [3, 99, 200]] *= factor
        pre_tf = x_td @ weight.T
        lower = torch.full((6144,), float(np.quantile(pre_tf, 1 - k / 6144)))
        features = Features(HALVES, weight, torch.zeros(6144), lower)
        codes = HalfScreen(split_tokens(x_td)).find(features, slice(None)).codes
        kept = int((codes > 0).sum())
        assert kept == pytest.approx(196 * k, rel=0.01)
        assert len(codes) < 1.1 * kept


def test_sums_that_lose_more_are_seen(monkeypatch):
    device = torch.device("cpu")
    assert sums_hold(device)
    for exact, holds in ((cut_off, True), (lambda *a: in_float32(*a).half().float(), False)):
        monkeypatch.setattr(screen_halves, "product", exact)
        assert sums_hold(device) is holds


def test_which_way_is_used_is_measured_and_said(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(encoders, "MEASURED", (2, 3, WIDTH, 256, 4))
    device = torch.device("cpu")
    measured = encoders._measured.__wrapped__
    assert not halves_are_faster(device)  # nothing is timed for what is not CUDA
    assert not caplog.text
    for seconds, faster in ((0.5, True), (0.9, False)):
        ratios = iter((seconds, 1.0))
        monkeypatch.setattr(screen, "best_time", lambda function, ratios=ratios: next(ratios))
        assert measured(device) is faster
        assert f"those of float16 take {seconds:.2f} of the time" in caplog.text
    monkeypatch.setattr(screen_halves, "product", lambda *a: in_float32(*a) / 2)
    assert not measured(device)
    assert "those of float16 are wrong here" in caplog.text
    monkeypatch.setattr(encoders, "sums_hold", lambda device: True)
    caplog.clear()
    assert not measured(device)  # the units say it, too
    assert "those of float16 are wrong here" in caplog.text

    def missing(*arguments, **keywords):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(torch.sparse, "sampled_addmm", missing)
    monkeypatch.setattr(screen_halves, "product", in_float32)
    assert not measured(device)
    assert "this torch has none of float16" in caplog.text


def test_what_is_timed_is_as_sparse_as_an_sae(monkeypatch):
    """On tokens that have as many codes as those of a study, by both ways."""
    images, side, width, features, k = size = 2, 3, WIDTH, 256, 16
    monkeypatch.setattr(encoders, "MEASURED", size)
    given = {}

    def fast(name, is_right, screened, whole, gain):
        given.update(ways=(screened, whole), right=is_right())
        return gain

    monkeypatch.setattr(encoders, "is_faster", fast)
    assert encoders._measured.__wrapped__(torch.device("cpu")) == encoders.GAIN
    assert given["right"]
    of_screen, whole = (encode() for encode in given["ways"])
    close(of_screen, whole)
    assert whole.codes_max.shape == (images, features)
    assert whole.reconstructions_max.shape == (images, width)
    assert whole.firing_count.sum() == pytest.approx(images * side**2 * k, rel=0.15)
    # Of 1,500 codes one in a thousand may be off by more than 1e-4 of it.
    for moved, by, right in ((1, 1.5e-4, True), (2, 1.5e-4, False), (2, 5e-5, True)):

        def other(encoder, x_npd, count=moved, change=by):
            codes_max = np.ones(1500)
            codes_max[:count] += change * (encoder._screened is not None)
            return SimpleNamespace(codes_max=codes_max)

        monkeypatch.setattr(DenseEncoder, "__call__", other)
        encoders._measured.__wrapped__(torch.device("cpu"))
        assert bool(given["right"]) is right


@pytest.mark.parametrize("faster", [True, False])
def test_a_gpu_is_asked_and_a_cpu_is_not(monkeypatch, faster):
    monkeypatch.setattr(encoders, "_measured", lambda device: faster)
    assert halves_are_faster(torch.device("cuda")) is faster
    assert halves_are_faster(torch.device("cpu")) is False
