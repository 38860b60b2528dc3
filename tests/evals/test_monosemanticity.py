import itertools

import numpy as np
import pytest
from metric_fixtures import SAE

from visae.base.errors import UserError
from visae.encoding.largest import TOP, LargestCodes
from visae.evals.monosemanticity.compute import monosemanticity, top_images
from visae.evals.monosemanticity.entry import ENTRY
from visae.evals.results import write_result


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 10)
    codes_fn = random.gamma(1.0, 1.0, (20, 60)) * (random.random((20, 60)) < 0.4)
    codes_fn[:6] = (labels == np.arange(6)[:, None]) * random.uniform(1, 2, (6, 60))
    codes_fn[6] = 0  # dead
    codes_fn[7] = 0
    codes_fn[7, 30] = 1  # one image: no pair
    codes_fn[8] = 0.5  # the same everywhere: no weights
    codes_fn[9] = np.round(codes_fn[9])  # ties
    codes_fn[10] += 0.7  # never zero
    embeddings = 0.4 * random.normal(size=(60, 12)) + random.normal(size=(6, 12))[labels] + 0.3
    return codes_fn.astype(np.float16), embeddings.astype(np.float32), labels


def largest(codes_fn):
    found = LargestCodes.of_none(*codes_fn.shape)
    found.add(np.ascontiguousarray(codes_fn.T, np.float32), 0)
    return found


def cosine(e, f):
    e, f = e.astype(np.float64), f.astype(np.float64)
    return e @ f / np.sqrt((e @ e) * (f @ f))


def explicit(codes_n, embeddings, labels, top=16):
    """Appendix K, pair by pair."""
    codes_n = codes_n.astype(np.float64)
    chosen = sorted(range(codes_n.size), key=lambda image: (-codes_n[image], image))[:top]
    low, high = codes_n.min(), codes_n.max()
    sums = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for u, v in itertools.combinations(chosen, 2):
        weight = (codes_n[u] - low) / (high - low) * (codes_n[v] - low) / (high - low)
        sums[bool(labels[u] == labels[v])][0] += weight * cosine(embeddings[u], embeddings[v])
        sums[bool(labels[u] == labels[v])][1] += weight
    mass = sums[True][1] + sums[False][1]
    if mass == 0:
        return None
    return (sums[True][0] + sums[False][0]) / mass, sums[True][1] / mass


def test_equal_to_the_slow_explicit_one(problem, tmp_path):
    codes_fn, embeddings, labels = problem
    live = codes_fn.max(axis=1) > 0
    other = np.random.default_rng(3).normal(size=(60, 5))
    spaces = {"clip": embeddings, "dinov2": other}
    score = monosemanticity(largest(codes_fn), spaces, "clip", labels)
    with np.errstate(invalid="ignore"):
        expected = {f: explicit(codes_fn[f], embeddings, labels) for f in np.flatnonzero(live)}
    expected = {f: pair for f, pair in expected.items() if pair is not None and f != 8}
    assert score.arrays["features"].tolist() == list(expected)
    np.testing.assert_allclose(
        np.stack([score.arrays["monosemanticity"], score.arrays["within_share"]], axis=1),
        list(expected.values()),
        atol=1e-6,
    )
    raw = np.mean([cosine for cosine, _ in expected.values()])
    assert score.readings["raw"] == pytest.approx(raw, abs=1e-6)
    baseline = score.readings["baseline"]
    assert score.value == pytest.approx((raw - baseline) / (1 - baseline), abs=1e-6)
    assert score.data == {
        "features": 20, "live_features": 19, "selected_features": 19, "scored_features": 17,
        "images": 60,
    }  # fmt: skip
    top = {
        image
        for f in expected
        for image in sorted(range(60), key=lambda i: (-float(codes_fn[f, i]), i))[:16]
    }
    every = [
        cosine(embeddings[u], embeddings[v]) for u, v in itertools.combinations(sorted(top), 2)
    ]
    # Of 1000 groups; all pairs of the union are what they estimate.
    assert score.readings["as_run_baseline"] == pytest.approx(np.mean(every), abs=0.01)
    assert score.readings["as_run"] == pytest.approx(
        raw - score.readings["as_run_baseline"], abs=1e-6
    )
    swapped = monosemanticity(largest(codes_fn), spaces, "dinov2", labels)
    assert score.readings["normalised_in_dinov2"] == swapped.value
    write_result(tmp_path / "monosemanticity.json", "monosemanticity", score, SAE, {})


def test_the_decomposition_is_exact_and_class_pure_features_are_all_within(problem):
    codes_fn, embeddings, labels = problem
    score = monosemanticity(largest(codes_fn), {"clip": embeddings}, "clip", labels)
    share, within = score.arrays["within_share"], np.nan_to_num(score.arrays["within"])
    between = np.nan_to_num(score.arrays["between"])
    np.testing.assert_allclose(
        score.arrays["monosemanticity"], share * within + (1 - share) * between, atol=1e-12
    )
    # Ten images fire; the other six of the top 16 weigh nothing.
    np.testing.assert_array_equal(share[:6], 1)
    assert np.isnan(score.arrays["between"][:6]).all()
    assert (share[6:] < 0.6).all()


def test_the_baseline_is_the_mean_over_random_pairs(problem):
    _, embeddings, labels = problem
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    every_pair = (units @ units.T)[np.triu_indices(60, 1)].mean()
    random_codes = np.random.default_rng(5).random((300, 60))
    score = monosemanticity(largest(random_codes), {"x": embeddings}, "x", labels)
    assert score.readings["baseline"] == pytest.approx(every_pair, abs=0.01)
    assert score.value == pytest.approx(0, abs=0.02)


def test_groups_of_as_run_are_drawn_from_top_images_alone(problem):
    """Images that no feature likes are all alike, and do not count."""
    codes_fn, embeddings, labels = problem
    codes_fn, embeddings = codes_fn[:6].copy(), embeddings.copy()
    codes_fn[:, 30:] = 0
    embeddings[30:] = embeddings[0]
    score = monosemanticity(largest(codes_fn), {"x": embeddings}, "x", labels, top=10)
    units = embeddings[:30] / np.linalg.norm(embeddings[:30], axis=1, keepdims=True)
    alike = (units @ units.T)[np.triu_indices(30, 1)].mean()
    assert score.readings["as_run_baseline"] == pytest.approx(alike, abs=0.01)
    assert score.readings["baseline"] > alike + 0.05


def test_identical_embeddings_and_dead_features_are_null(problem, tmp_path):
    codes_fn, embeddings, labels = problem
    alike = monosemanticity(largest(codes_fn), {"x": np.ones((60, 3))}, "x", labels)
    # One image has no pair, and the same code everywhere no weights.
    dead = monosemanticity(largest(codes_fn[6:9]), {"x": embeddings}, "x", labels)
    none = monosemanticity(largest(0 * codes_fn), {"x": embeddings}, "x", labels)
    for score in (alike, dead, none):
        assert score.value is None
        assert (score.readings["as_run"] is None) == (score is not alike)
        write_result(tmp_path / "monosemanticity.json", "monosemanticity", score, SAE, {})
    assert alike.readings["raw"] == pytest.approx(1)


def test_the_sample_of_features_is_seeded_and_live(problem):
    codes_fn, _, _ = problem
    live = codes_fn.max(axis=1) > 0
    found = largest(codes_fn)
    first = top_images(found, seed=1, max_features=8)
    assert np.array_equal(first.features, top_images(found, 1, 8).features)
    assert not np.array_equal(first.features, top_images(found, 2, 8).features)
    assert first.features.size == np.unique(first.features).size == 8
    assert live[first.features].all()


def test_dead_features_take_no_place_of_live_ones(problem):
    """They would make the sample smaller: nothing in their score tells them from lone images."""
    codes_fn, embeddings, labels = problem
    many = np.zeros((300, 60), np.float32)
    many[::25] = codes_fn[9:].astype(np.float32).repeat(2, axis=0)[:12] + 0.01
    found = largest(many)
    assert top_images(found, seed=0, max_features=12).features.tolist() == list(range(0, 300, 25))
    score = monosemanticity(found, {"x": embeddings}, "x", labels, max_features=12)
    assert score.data["live_features"] == score.data["selected_features"] == 12
    assert score.data["scored_features"] == 12


def test_fewer_images_than_sixteen(problem):
    codes_fn, embeddings, labels = problem
    few = slice(0, 60, 10)
    score = monosemanticity(largest(codes_fn[:, few]), {"x": embeddings[few]}, "x", labels[few])
    assert score.details["top_images"] == 6
    assert score.readings["within_class"] is None  # six images of six classes


def test_an_embedding_without_length_is_named(problem):
    codes_fn, embeddings, labels = problem
    broken = embeddings.copy()
    broken[17] = 0
    with pytest.raises(UserError, match="image number 17 of the evaluation split"):
        monosemanticity(largest(codes_fn), {"dinov2": broken}, "dinov2", labels)


def test_large_codes_that_float16_does_not_tell_apart(problem):
    _, embeddings, labels = problem
    random = np.random.default_rng(2)
    codes_fn = (100 + random.uniform(0, 0.05, (30, 60))).astype(np.float32)
    assert all(np.unique(codes.astype(np.float16)).size <= 2 for codes in codes_fn)
    score = monosemanticity(largest(codes_fn), {"x": embeddings}, "x", labels)
    expected = [explicit(codes, embeddings, labels)[0] for codes in codes_fn]
    np.testing.assert_allclose(score.arrays["monosemanticity"], expected, atol=1e-6)


def test_no_more_images_can_be_asked_for_than_are_kept():
    assert ENTRY.settings["top_images"]["maximum"] == TOP


def test_images_without_a_class_are_not_of_one_class(problem, tmp_path):
    codes_fn, embeddings, labels = problem
    by_class = monosemanticity(largest(codes_fn), {"clip": embeddings}, "clip", labels)
    score = monosemanticity(largest(codes_fn), {"clip": embeddings}, "clip", np.full(60, -1))
    assert score.value == pytest.approx(by_class.value)
    for reading in ("within_class", "between_class", "within_class_share"):
        assert score.readings[reading] is None
        assert by_class.readings[reading] is not None
    write_result(tmp_path / "m5.json", "monosemanticity", score, SAE, {})


def test_pairs_count_however_little_they_weigh():
    """A feature's one pair weighs a quarter, within one class or between two."""
    embeddings = np.random.default_rng(2).normal(size=(8, 4)).astype(np.float32)
    codes_fn = np.zeros((2, 8), np.float16)
    codes_fn[0, [0, 1]] = codes_fn[1, [0, 2]] = 1, 0.25
    labels = np.array([0, 0, 1, 1, 1, 1, 1, 1])
    score = monosemanticity(largest(codes_fn), {"x": embeddings}, "x", labels, top=2)
    pairs = [cosine(embeddings[0], embeddings[other]) for other in (1, 2)]
    np.testing.assert_allclose(score.arrays["monosemanticity"], pairs, atol=1e-6)
    np.testing.assert_allclose(score.arrays["within"], [pairs[0], np.nan], atol=1e-6)
    np.testing.assert_allclose(score.arrays["between"], [np.nan, pairs[1]], atol=1e-6)
    assert score.arrays["within_share"].tolist() == [1, 0]
