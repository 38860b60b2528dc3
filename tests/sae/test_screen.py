"""The screened product: no code is missed, and none depends on how candidates were found."""

import logging
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from screen_fixtures import FEATURES, KINDS, TOKENS, WIDTH, heavy_tails, odd, outlier_channels, rows

from visae.encoding.encoders import SparseEncoder
from visae.sae import screen, screen_bytes, screened
from visae.sae.families.batchtopk.trainer import BatchTopK
from visae.sae.families.topk.trainer import TopK
from visae.sae.model import SparseAutoencoder
from visae.sae.screen import Features, Tokens
from visae.sae.screen_bytes import BYTES, Screen
from visae.sae.sparse import SparseCodes, collect_codes, screened_codes
from visae.sae.specs import SaeSpec, TrainingSettings

U = 2.0**-24


def tokens_of(rows_td, lower=None):
    return Tokens(BYTES, rows_td, None if lower is None else torch.from_numpy(lower))


def features_of(rows_fd, bias, lower):
    return Features(BYTES, rows_fd, torch.from_numpy(bias), torch.from_numpy(lower))


def found(tokens, features, by_bytes, turned=False):
    """Codes [T, F] by `Screen.find`, 0 where there is none; turned: features are the rows."""
    left, right = (features, tokens) if turned else (tokens, features)
    one = Screen(right, len(left.rows))
    one._by_bytes = by_bytes
    counts, columns, codes = one.find(left, slice(0, len(left.rows)))
    dense = np.zeros((len(left.rows), len(right.rows)), np.float32)
    for a, count in enumerate(counts):
        here = slice(a * dense.shape[1], a * dense.shape[1] + count)
        assert (np.diff(columns[here]) > 0).all()
        dense[a, columns[here]] = codes[here]
    return dense.T if turned else dense


measured = screen_bytes.bytes_are_faster.__wrapped__


@pytest.fixture(autouse=True)
def never_crowded(monkeypatch):
    """Bytes find whatever there is, on any processor."""
    monkeypatch.setattr(screened, "CROWDED", 1.0)
    monkeypatch.setattr(screen_bytes, "bytes_are_faster", lambda: True)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from((16, 17, 1024)),
    st.sampled_from((1, 17, 1024)),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.integers(0, 2**32),
    st.sampled_from((0.0, 0.5, 0.9, 0.99)),
    st.booleans(),
)
@example(17, 17, odd, odd, 0, 0.9, False)
@example(1024, 1024, outlier_channels, heavy_tails, 0, 0.99, True)
def test_what_is_kept_is_what_the_float32_products_say(
    part, tile, kind_x, kind_w, seed, quantile, turned
):
    random = np.random.default_rng(seed)
    x_td, w_fd = rows(kind_x, random, TOKENS), rows(kind_w, random, FEATURES)
    bias = random.normal(size=FEATURES).astype(np.float32)
    everything = np.full(FEATURES, -np.inf, np.float32)
    with np.errstate(all="ignore"):
        # Nothing is below minus infinity: every code is computed.
        all_codes = found(tokens_of(x_td), features_of(w_fd, bias, everything), False, turned)
        # A threshold that some code meets exactly.
        finite = np.where(np.isfinite(all_codes), all_codes, 0)
        lower = np.quantile(finite, quantile, axis=0, method="higher").astype(np.float32)
        kept = ~((all_codes < lower) | (all_codes <= 0))
        expected = np.where(kept, all_codes, 0)
        features = features_of(w_fd, bias, lower)
        for by_bytes in (True, False):
            with mock.patch.multiple(screen_bytes, COLUMNS=part, TILE_BYTES=4 * WIDTH * tile):
                codes = found(tokens_of(x_td), features, by_bytes, turned)
            np.testing.assert_array_equal(codes, expected)
        # The same, in another precision: only what is within rounding of the threshold may differ.
        pre = x_td.double().numpy() @ w_fd.double().numpy().T + bias
        sums = x_td.double().abs().numpy() @ w_fd.double().abs().numpy().T + np.abs(bias)
        near = 2 * (WIDTH + 2) * U * (sums + np.abs(lower)) + 1e-36
    bounded = np.isfinite(pre) & (sums < 1e38)
    right = expected > 0
    clear = bounded & (np.abs(pre - lower) > near) & (np.abs(pre) > near)
    assert (right == ((pre >= lower) & (pre > 0)))[clear].all()
    right &= bounded
    assert (np.abs(expected[right] - pre[right]) <= near[right]).all()


@pytest.mark.parametrize("rounded", ["tokens", "features"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound_holds_where_it_is_tight(rounded, sign):
    """All that rounding takes from one side is parallel to the other: Cauchy–Schwarz is equal."""
    signs = np.where(np.random.default_rng(0).random(WIDTH) < 0.5, -1, 1)
    exact = 127.0 * signs
    rest = np.full(WIDTH, 20.0) + sign * 0.49 * signs
    rest[0] = 127.0  # so that the scale is 1
    one, other = (torch.tensor(row, dtype=torch.float32)[None] for row in (rest, exact))
    x_td, w_fd = (one, other) if rounded == "tokens" else (other, one)
    if float(x_td @ w_fd.T) < 0:
        w_fd = -w_fd
    bias, everything = np.zeros(1, np.float32), np.array([-np.inf], np.float32)
    code = found(tokens_of(x_td), features_of(w_fd, bias, everything), False)
    assert code > 0
    assert found(tokens_of(x_td), features_of(w_fd, bias, code[0]), True) == code


def test_limits_of_tokens_and_features_are_added():
    random = np.random.default_rng(0)
    x_td, w_fd = (torch.from_numpy(random.normal(size=(n, WIDTH))).float() for n in (37, 41))
    bias, by_feature = np.zeros(41, np.float32), random.uniform(-9, 9, 41).astype(np.float32)
    by_token = random.uniform(0, 9, 37).astype(np.float32)
    tokens, features = tokens_of(x_td, by_token), features_of(w_fd, bias, by_feature)
    pre = (x_td @ w_fd.T).numpy()
    expected = np.where((pre >= by_feature + by_token[:, None]) & (pre > 0), pre, 0)
    for by_bytes in (True, False):
        np.testing.assert_allclose(found(tokens, features, by_bytes), expected, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_encoders_are_screened_in_training(monkeypatch, threads):
    monkeypatch.setattr(screened, "SCREENED_WEIGHTS", 41 * WIDTH)
    random = np.random.default_rng(0)
    x_td, w_fd = (torch.from_numpy(random.normal(size=(n, WIDTH))).float() for n in (1100, 41))
    bias = torch.from_numpy(random.normal(size=41)).float()
    kept_threads = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        codes = collect_codes(x_td, w_fd, bias, 9.0)
    finally:
        torch.set_num_threads(kept_threads)
    features = features_of(w_fd, bias.numpy(), np.full(41, 9, np.float32))
    np.testing.assert_array_equal(
        found(tokens_of(x_td), features, False), np.asarray(_csr(codes, 41).todense())
    )
    monkeypatch.setattr(screened, "SCREENED_WEIGHTS", 41 * WIDTH + 1)
    other = collect_codes(x_td, w_fd, bias, 9.0)
    np.testing.assert_array_equal(codes.features, other.features)
    np.testing.assert_allclose(codes.values, other.values, rtol=1e-5)


def _csr(codes, features):
    import scipy.sparse

    shape = len(codes.row_starts) - 1, features
    return scipy.sparse.csr_matrix((codes.values, codes.features, codes.row_starts), shape)


def test_where_many_are_candidates_the_float32_product_finds_them(monkeypatch):
    random = np.random.default_rng(0)
    x_td, w_fd = (torch.from_numpy(random.normal(size=(n, WIDTH))).float() for n in (37, 41))
    features = features_of(w_fd, np.zeros(41, np.float32), np.zeros(41, np.float32))
    with_bytes = screened_codes(tokens_of(x_td), features)
    monkeypatch.setattr(screened, "CROWDED", 0.125)
    products = []
    original = screen_bytes.byte_product
    monkeypatch.setattr(
        screen_bytes, "byte_product", lambda *a: products.append(len(a[0])) or original(*a)
    )
    one = Screen(features, 10)
    tokens = tokens_of(x_td)
    for start in range(0, 37, 10):
        one.find(tokens, slice(start, start + 10))
    assert products == [10]  # after the first part no more bytes are tried
    again = screened_codes(tokens, features)
    for mine, others in zip(again, with_bytes, strict=True):
        np.testing.assert_array_equal(mine, others)


@pytest.mark.parametrize("per_feature", [False, True])
def test_encoded_units_do_not_depend_on_the_way(monkeypatch, per_feature):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(300, WIDTH, generator=generator)
    threshold = 8 + torch.rand(300, generator=generator) if per_feature else torch.tensor(9.0)
    sae = SparseAutoencoder(
        encoder_weight=weight,
        encoder_bias=torch.randn(300, generator=generator),
        decoder_weight=torch.nn.functional.normalize(weight, dim=1),
        threshold=threshold,
        activation_mean=torch.zeros(WIDTH),
        activation_std=torch.tensor(1.0),
    )
    x_npd = torch.randn(3, 12, WIDTH, generator=generator)
    x_npd[0, 0] = np.nan  # no codes, by any way
    plain = SparseEncoder(sae, (3, 4), (1, 2), 1e-8)(x_npd)
    monkeypatch.setattr(screened, "SCREENED_WEIGHTS", 1)
    monkeypatch.setattr(SparseEncoder, "screened_block", 128)
    units = []
    for by_bytes in (True, False):
        monkeypatch.setattr(screen_bytes, "bytes_are_faster", lambda way=by_bytes: way)
        units.append(SparseEncoder(sae, (3, 4), (1, 2), 1e-8)(x_npd))
    for name, value in vars(units[0]).items():
        np.testing.assert_array_equal(value, getattr(units[1], name), err_msg=name)
        np.testing.assert_allclose(value, getattr(plain, name), rtol=2e-3, err_msg=name)
    np.testing.assert_array_equal(units[0].firing_count, plain.firing_count)
    assert plain.firing_count.sum() > 300


def test_which_way_is_used_is_measured_and_said(monkeypatch, caplog):
    caplog.set_level(logging.INFO)

    def saturated(left, right, out):
        exact = left.int() @ right.int()
        out.copy_(exact.clamp(-(2**15), 2**15 - 1))

    monkeypatch.setattr(screen_bytes, "byte_product", saturated)
    assert not measured()
    assert "bytes are wrong here" in caplog.text

    def missing(left, right, out):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(screen_bytes, "byte_product", missing)
    assert not measured()
    assert "has none of bytes" in caplog.text
    monkeypatch.undo()
    caplog.set_level(logging.INFO)
    for seconds, faster in ((0.5, True), (0.7, False)):
        ratios = iter((seconds, 1.0))
        monkeypatch.setattr(screen, "best_time", lambda function, ratios=ratios: next(ratios))
        assert measured() is faster
        assert f"{seconds:.2f} of the time" in caplog.text


@pytest.mark.parametrize("family", [BatchTopK, TopK])
def test_screened_steps_keep_what_dense_ones_keep(monkeypatch, family):
    """Whatever the steps before have left to look for: from no threshold, a lower or a higher."""
    monkeypatch.setattr(screened, "SCREENED_WEIGHTS", 1)
    monkeypatch.setattr(screened, "CROWDED", 0.125)
    spec = SaeSpec(family.__name__.lower(), 4, 5)
    sae, other = (family(spec, WIDTH, TrainingSettings(), "cpu") for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    for scale in (1, 1, 0.8, 5, 0.01, 1):
        x_bd = scale * torch.randn(300, WIDTH, generator=generator)
        x_bd[7] *= 1e-3  # a token whose codes are all small
        x_bd[8] = 0
        codes = sae.active_codes(x_bd)
        weight, bias = sae.encoder()
        keep_bf = other.keep(x_bd @ weight.T + bias)
        expected = np.where(keep_bf, (x_bd @ weight.T + bias).numpy(), 0)
        dense = np.asarray(_csr(codes, sae.features).todense())
        np.testing.assert_array_equal(dense > 0, expected > 0)
        np.testing.assert_allclose(dense, expected, atol=1e-5 * scale)


def test_what_is_looked_for_next_is_that_of_tokens_with_k_codes(monkeypatch):
    """Each other token has two codes, a thousand times smaller."""
    monkeypatch.setattr(screened, "SCREENED_WEIGHTS", 1)
    sae = TopK(SaeSpec("topk", 4, 5), WIDTH, TrainingSettings(), "cpu")
    sae.weights["encoder_bias"].data[:] = -1e-3
    sae.weights["encoder_bias"].data[:2] = 1e-3
    x_bd = torch.randn(300, WIDTH, generator=torch.Generator().manual_seed(0))
    x_bd[1::2] *= 1e-5
    codes = sae.active_codes(x_bd)
    assert (np.diff(codes.row_starts)[1::2] == 2).all()
    smallest = codes.of_rows(np.arange(0, 300, 2)).values.reshape(150, 5).min(axis=1)
    parts = smallest / torch.linalg.vector_norm(x_bd[::2], dim=1).numpy()
    assert sae._part == pytest.approx(0.97 * np.quantile(parts, 0.01))


def test_largest_codes_of_rows():
    values = np.array([1, 3, 2, 2, 2, 5, np.nan, 4], np.float32)
    codes = SparseCodes(
        np.array([0, 6, 6, 8]), np.array([0, 2, 3, 5, 7, 9, 1, 4], np.int32), values
    )
    largest = codes.largest(3)
    np.testing.assert_array_equal(largest.row_starts, [0, 3, 3, 5])
    np.testing.assert_array_equal(largest.features, [2, 3, 9, 1, 4])  # of equal ones the first
    np.testing.assert_array_equal(largest.values, np.float32([3, 2, 5, np.nan, 4]))
    turned = codes.of_rows(np.array([2, 0]))
    np.testing.assert_array_equal(turned.features, [1, 4, 0, 2, 3, 5, 7, 9])
    pieces = [(np.array([2, 0]), turned), (np.array([1]), codes.of_rows(np.array([1])))]
    for mine, others in zip(SparseCodes.merged(pieces), codes, strict=True):
        np.testing.assert_array_equal(mine, others)
