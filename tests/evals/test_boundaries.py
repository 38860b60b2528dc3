"""Where a rule of an eval begins to hold: the smallest grid, feature, image, class or byte."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from metric_fixtures import SAE, make_codes

from visae.base.errors import UserError
from visae.base.seals import write_document
from visae.evals import results, sparse_codes
from visae.evals.absorption import compute as absorption
from visae.evals.classification import compute as classification
from visae.evals.cross_domain.compute import RawReading, cross_domain, domain_reading
from visae.evals.localization.compute import localization
from visae.evals.preservation.compute import preservation
from visae.evals.retrieval.compute import retrieve
from visae.evals.segmentation.heads import HeadSettings
from visae.evals.sparse_codes import inner_products
from visae.evals.sparse_probing.compute import sparse_probing
from visae.probing import multinomial, readout
from visae.probing.rankings import rank_features
from visae.probing.siblings import SiblingGroup


@pytest.mark.parametrize("minimum", [0, 1, 2])
def test_coherence_counts_features_from_the_least_images_on(minimum):
    """Three features with no, one and two images, on patches that are no square."""
    images = np.array([[0, 1, 2], [0, 2, 3]])
    sums = np.array([[[0, 0.25, 1.0], [0, 0.5, 1.5]], [[0, 0.125, 0.5], [0, 1.0, 0.75]]])
    score = localization(sums, images, [5, 1], (2, 3), minimum_images=minimum)
    means = [0.25, 0.5][max(minimum, 1) - 1 :]
    assert score.value == np.mean(means)
    assert score.readings["null"] == -1 / 5
    assert score.details["grid"] == [2, 3]
    assert score.details["patches"] == 6
    lower, upper = np.quantile(means, [0.25, 0.75])
    assert score.details["lower_quartile"] == lower
    assert score.details["upper_quartile"] == upper
    assert score.readings["iqr"] == upper - lower
    assert score.readings["queen_minimum_1"] == np.mean([0.25, 0.5])
    assert score.readings["rook_minimum_5"] == np.mean([0.125, 0.25][max(minimum, 1) - 1 :])
    assert score.arrays["images"].tolist() == [0, 1, 2]
    assert score.details["evaluable_features"] == {
        f"{kind}_minimum_{m}": len(means) if m == 5 else 2
        for kind in ("queen", "rook") for m in (5, 1)
    }  # fmt: skip


def test_coherence_of_equal_features_has_no_z():
    sums, images = np.full((2, 1, 3), 25.0), np.full((1, 3), 50)
    score = localization(sums, images, [5], (2, 2))
    assert score.value == 0.5
    assert score.readings["z"] is None


@pytest.mark.parametrize("features", [1, 2, 3, 4, 5])
def test_absorption_takes_four_features_or_as_many_as_there_are(features):
    labels = np.arange(60) % 3
    test_mask = np.arange(60) >= 30
    codes_fn = make_codes(9, labels, 1.5)[:features]
    groups = [SiblingGroup("p", (0, 1, 2))]
    rankings = rank_features(codes_fn, labels, ~test_mask, groups)
    score = absorption.absorption(codes_fn, rankings, groups, labels, test_mask)
    most = min(features, 4)
    assert score.details["budgets"] == sorted({1, most})
    assert score.details["most_features"] == most
    same = np.array_equal(score.arrays["f1_one"], score.arrays["f1_four"])
    assert same == (features == 1)
    assert score.data["fits"] == 3 * len(score.details["budgets"])


def some_not_converged(nested_probes, pattern):
    def probes(tasks, budgets, *arguments):
        for i, read in enumerate(nested_probes(tasks, budgets, *arguments)):
            yield read._replace(converged=np.array([pattern[i]] * len(budgets)))

    return probes


def test_fits_that_do_not_converge_are_counted(monkeypatch):
    labels = np.arange(60) % 3
    test_mask = np.arange(60) >= 30
    codes_fn = make_codes(9, labels, 1.5)
    groups = [SiblingGroup("p", (0, 1, 2))]
    rankings = rank_features(codes_fn, labels, ~test_mask, groups)
    given = codes_fn, rankings, groups, labels, test_mask
    assert absorption.absorption(*given).details["not_converged"] == 0
    for module in (absorption, readout):
        probes = some_not_converged(module.nested_probes, [False, True, False])
        monkeypatch.setattr(module, "nested_probes", probes)
    assert absorption.absorption(*given).details["not_converged"] == 4  # of three tasks two, twice
    found = sparse_probing(codes_fn, rankings, labels, test_mask, [1, 2, 4]).details
    assert found["budgets"] == [1, 2, 4, 9]
    assert found["not_converged"] == {"one_vs_rest": 8, "multinomial": 0, "as_run": 0}
    solve = multinomial.solve
    monkeypatch.setattr(
        multinomial, "solve", lambda x_nd, *a, **o: (*solve(x_nd, *a, **o)[:2], x_nd.shape[1] > 2)
    )
    found = sparse_probing(codes_fn, rankings, labels, test_mask, [1, 2, 4]).details
    assert found["not_converged"] == {"one_vs_rest": 8, "multinomial": 2, "as_run": 2}
    raw = RawReading(0.5, "raw", True)
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    arguments = raw, x[:30], x[30:], codes_fn[:, :30], codes_fn[:, 30:], rankings
    reading = domain_reading(*arguments, labels[:30], labels[30:])
    assert reading.not_converged == 2 + 0 + 1  # areas, the codes' accuracy, reconstructions
    found = preservation(x, x, labels, test_mask).details["converged"]
    assert found == {"raw": False, "retrained": False}


@pytest.mark.parametrize("spare", [0, -1])
def test_codes_are_made_dense_up_to_the_bound_in_bytes(spare, monkeypatch):
    labels = np.arange(12) % 3
    codes_fn = make_codes(5, labels, 1.0)
    monkeypatch.setattr(classification, "DENSE_BYTES", 4 * 5 * 12 + spare)
    seen, solve = [], classification.solve
    monkeypatch.setattr(
        classification, "solve", lambda rows, *a, **o: seen.append(rows) or solve(rows, *a, **o)
    )
    classification.classify_by_codes(codes_fn, codes_fn, labels, labels)
    assert isinstance(seen[0], np.ndarray) == (spare == 0)


@pytest.mark.parametrize("features", [7, 40])
def test_adam_takes_as_many_weights_as_features(features, monkeypatch):
    monkeypatch.setattr("visae.probing.multinomial.ADAM_ABOVE_CLASSES", 2)
    monkeypatch.setattr(classification, "ADAM", HeadSettings(epochs=30, batch=8))
    labels = np.arange(20) % 3
    codes_fn = np.zeros((features, 20), np.float16)
    codes_fn[labels + features - 3, np.arange(20)] = 1
    outcome = classification.classify_by_codes(codes_fn, codes_fn, labels, labels)
    assert outcome.value == 1
    assert outcome.details["converged"] is True


def test_all_codes_are_probed_up_to_a_number_of_classes(monkeypatch):
    monkeypatch.setattr(classification, "MOST_CLASSES", 3)
    job = SimpleNamespace(device="cpu", seed=1)
    for classes in (3, 4):
        labels = np.arange(12) % classes
        part = SimpleNamespace(codes=make_codes(5, labels, 1.0), labels=labels)
        found = classification._codes(part, part, job)
        assert (found.reason is None) == (classes == 3)
    assert found.reason == "all codes are probed on up to 3 classes, here are 4"


def test_classes_without_test_images_are_not_eligible_and_others_are():
    """Trained on classes 0 to 3, tested on 0, 1 and one that is not known."""
    train_labels, test_labels = np.arange(40) % 4, np.array([0, 1, 9] * 5)
    codes = make_codes(6, train_labels, 1.0), make_codes(6, test_labels, 1.0)
    x = np.random.default_rng(0).normal(size=(55, 3)).astype(np.float32)
    rankings = rank_features(codes[0], train_labels, np.ones(40, bool))
    raw = RawReading(0.0, "it", False)
    reading = domain_reading(raw, x[:40], x[40:], *codes, rankings, train_labels, test_labels)
    assert reading.data == {
        "training_images": 40, "test_images": 15, "classes": 5, "eligible_classes": 2,
        "one_vs_rest_classes": 2,
    }  # fmt: skip
    assert reading.budget == 6
    assert 0 < reading.auc_codes < 1
    score = cross_domain({"dtd": reading}, "dtd", {"dtd": None})
    assert score.value is None
    assert score.reason == "the raw probe is right on none of the 15 test images of dtd"
    assert score.readings["dtd_preservation"] is None
    assert score.details["converged_raw"] == {"dtd": False}
    assert score.details["estimators"]["dtd"]["raw"] == "it"


@pytest.mark.parametrize(("active", "sparse"), [(3, True), (4, False)])
def test_products_are_sparse_below_a_share_of_active_codes(active, sparse, monkeypatch):
    """4 × 64 codes by 4 × 1: a dense product is 256 multiplications, a looked-up one counts 64."""
    left, right = (scipy.sparse.csr_matrix(np.arange(4 * n).reshape(4, n) < some)
                   for n, some in ((64, active), (1, 4)))  # fmt: skip
    for number, name in enumerate(("_dense_products", "_sparse_products")):
        found = np.full((64, 1), number, np.float32)
        monkeypatch.setattr(sparse_codes, name, lambda *_, found=found: found)
    assert (inner_products(left, right) == sparse).all()


def test_retrieval_says_of_which_there_are_too_many():
    with pytest.raises(UserError, match="features of 3 images and labels of 2"):
        retrieve(np.eye(3, dtype=np.float32), np.array([0, 0]))
    with pytest.raises(UserError, match="the features of image 1 are NaN"):
        retrieve(np.array([[1.0], [np.nan]], np.float32), np.array([0, 0]))
    with pytest.raises(UserError, match="some have none"):
        retrieve(np.eye(2, dtype=np.float32), np.array([0, -1]))


def test_preservation_without_a_right_answer_or_an_image_says_why():
    labels, test_mask = np.arange(8) % 2, np.arange(8) >= 6
    x = np.where(np.arange(8) < 6, labels, 1 - labels)[:, None].astype(np.float32)
    score = preservation(x, x, labels, test_mask)
    assert (score.value, score.readings["as_run"]) == (None, None)
    assert score.reason == "the probe is right on none of the 2 raw test images"
    assert score.data == {"images": 8, "test_images": 2, "classes": 2, "tested_classes": 2}
    assert "no image is held out" in preservation(x, x, labels, np.zeros(8, bool)).reason


def test_a_document_of_no_eval_is_refused_when_it_is_loaded(tmp_path):
    path = tmp_path / "x.json"
    write_document(path, results.KIND, {"metric": "nothing", "sae": SAE}, {}, None)
    for read in (results.load, results.read_result):
        with pytest.raises(UserError, match=r"x\.json: .*nothing"):
            read(path)
