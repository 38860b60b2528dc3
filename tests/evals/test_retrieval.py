"""Retrieval against a sorted float64 reference and planted truth; products of sparse codes."""

import h5py
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_fixtures import stored

from visae.base.errors import UserError
from visae.evals import sparse_codes as codes
from visae.evals.retrieval import compute as retrieval
from visae.evals.retrieval.compute import retrieve, retrieve_by_codes
from visae.evals.sparse_codes import inner_products, read_codes


def reference(features_nd, labels):
    """R@1, R@5, R@10 by sorting each query's float64 cosines, ties to the disadvantage."""
    x = features_nd.astype(np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = x / np.where(norms > 0, norms, 1)
    hits, queries = {1: 0, 5: 0, 10: 0}, 0
    for i, label in enumerate(labels):
        others = [j for j in range(len(x)) if j != i]
        if not any(labels[j] == label for j in others):
            continue
        queries += 1
        # Rounded, so that equal cosines are equal; False sorts before True.
        order = sorted(others, key=lambda j: (-round(float(x[i] @ x[j]), 6), labels[j] == label))
        for k in hits:
            hits[k] += any(labels[j] == label for j in order[:k])
    return {f"recall_at_{k}": count / queries for k, count in hits.items()}


def clustered(images=90, width=8, classes=15, noise=1.0, seed=0):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(images) % classes)
    centres = random.normal(size=(classes, width))
    return (centres[labels] + noise * random.normal(size=(images, width))).astype("f4"), labels


def pooled_codes(images=80, features=60, classes=10, density=0.2, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    codes_fn = random.gamma(1.0, 1.0, (features, images)) * (
        random.random((features, images)) < density
    )
    codes_fn[labels % features, np.arange(images)] += random.gamma(1.0, 0.7, images)
    return codes_fn.astype(np.float16), labels


def test_recall_equals_a_sorted_reference():
    features_nd, labels = clustered()
    outcome = retrieve(features_nd, labels)
    expected = reference(features_nd, labels)
    assert 0.2 < expected["recall_at_1"] < expected["recall_at_5"] < 1
    assert outcome.readings == pytest.approx(expected)
    assert outcome.value == outcome.readings["recall_at_1"]
    assert outcome.data["queries"] == 90


@pytest.mark.parametrize("density", [0.05, 0.5])
def test_recall_by_codes_equals_a_sorted_reference(density, tmp_path):
    """At 5 % the products are sparse, at 50 % dense; arrays and HDF5 alike."""
    codes_fn, labels = pooled_codes(density=density)
    expected = reference(codes_fn.T, labels)
    assert retrieve_by_codes(codes_fn, labels).readings == pytest.approx(expected)
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        dataset = stored(file, codes_fn, (16, 32))
        assert retrieve_by_codes(dataset, labels, threads=2).readings == pytest.approx(expected)


def test_only_the_images_asked_for_take_part():
    codes_fn, labels = pooled_codes()
    chosen = np.random.default_rng(1).random(labels.size) < 0.5
    outcome = retrieve_by_codes(codes_fn, labels, chosen)
    assert outcome.readings == pytest.approx(reference(codes_fn.T[chosen], labels[chosen]))
    assert outcome.data["images"] == chosen.sum()


def test_blocks_of_queries_change_nothing(monkeypatch):
    features_nd, labels = clustered()
    codes_fn, code_labels = pooled_codes()
    whole = retrieve(features_nd, labels), retrieve_by_codes(codes_fn, code_labels)
    monkeypatch.setattr(retrieval, "_BLOCK_BYTES", 7 * 4 * 90)
    assert (retrieve(features_nd, labels), retrieve_by_codes(codes_fn, code_labels)) == whole


def test_planted_ranks():
    """On a circle: the nearest image of the query's class is the third and the seventh."""
    angles = np.radians([0, 1, 2, 3, 90, 91, 92, 93, 94, 95, 96, 97])
    labels = np.array([0, 1, 2, 0, 3, 4, 5, 6, 7, 8, 9, 3])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    outcome = retrieve(points, labels)
    # Four queries: image 0 and 3 find each other third, image 4 and 11 seventh.
    assert outcome.readings == {"recall_at_1": 0.0, "recall_at_5": 0.5, "recall_at_10": 1.0}
    assert outcome.data["queries"] == 4
    assert outcome.data["images_alone_in_class"] == 8


def test_a_query_is_not_its_own_result():
    """Two classes of two orthogonal images, far apart within the class, close across."""
    points = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], dtype=np.float32)
    assert retrieve(points, np.array([0, 0, 1, 1])).value == 0.0
    assert retrieve(points, np.array([0, 1, 0, 1])).value == 1.0


@given(st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_ties_earn_nothing_and_order_does_not_matter(seed):
    """Small integers and duplicates make many ties, zero vectors among them."""
    random = np.random.default_rng(seed)
    points = random.integers(0, 2, size=(24, 3)).astype(np.float32)
    labels = random.integers(0, 4, size=24)
    labels[:2] = 0
    order = random.permutation(24)
    outcome = retrieve(points, labels)
    assert outcome.readings == pytest.approx(reference(points, labels))
    assert retrieve(points[order], labels[order]) == outcome
    assert retrieve_by_codes(points.T, labels).readings == outcome.readings


def test_images_without_codes_retrieve_nothing():
    codes_fn = np.zeros((5, 6), np.float16)
    codes_fn[0, :4] = 1
    outcome = retrieve_by_codes(codes_fn, np.array([0, 0, 0, 0, 1, 1]))
    assert outcome.readings["recall_at_1"] == pytest.approx(4 / 6)
    assert outcome.data["images_without_features"] == 2


def test_without_a_pair_the_value_is_null_with_a_reason():
    outcome = retrieve(np.eye(3, dtype=np.float32), np.array([0, 1, 2]))
    assert outcome.value is None
    assert outcome.readings == {"recall_at_1": None, "recall_at_5": None, "recall_at_10": None}
    assert "none of the 3" in outcome.reason


@pytest.mark.parametrize(
    ("features_nd", "labels", "message"),
    [
        (np.full((2, 2), np.nan), [0, 0], "image 0 are NaN"),
        (np.ones((2, 2)), [0, 0, 0], "features of 2 images and labels of 3"),
        (np.ones((2, 2)), [0, -1], "needs a class for every image"),
    ],
)
def test_bad_input_is_named(features_nd, labels, message):
    with pytest.raises(UserError, match=message):
        retrieve(features_nd, np.array(labels))
    with pytest.raises(UserError, match=message):
        retrieve_by_codes(features_nd.T, np.array(labels))


@pytest.mark.parametrize("advantage", [0, 1e12])
def test_products_are_exact_either_way(monkeypatch, advantage):
    monkeypatch.setattr(codes, "DENSE_ADVANTAGE", advantage)
    left, right = (read_codes(pooled_codes(images=n, features=300, seed=n)[0]) for n in (30, 50))
    for a, b in ((left, right), (left, left)):
        expected = a.toarray().astype(np.float64).T @ b.toarray().astype(np.float64)
        products = inner_products(a, b, threads=3)
        assert products.dtype == np.float32
        np.testing.assert_allclose(products, expected, rtol=1e-6)


def test_codes_read_in_blocks_are_the_codes(monkeypatch):
    codes_fn, labels = pooled_codes()
    monkeypatch.setattr("visae.probing.rankings._BLOCK_BYTES", 8 * labels.size * 7)
    chosen = labels < 5
    read = read_codes(codes_fn, chosen)
    assert scipy.sparse.issparse(read)
    np.testing.assert_array_equal(read.toarray(), codes_fn[:, chosen].astype(np.float32))
