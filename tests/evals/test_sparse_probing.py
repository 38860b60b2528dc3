import itertools
import warnings

import h5py
import numpy as np
import pytest
from metric_fixtures import SAE, make_codes, tight_probe
from sklearn.feature_selection import f_classif
from sklearn.metrics import average_precision_score, roc_auc_score
from sparse_fixtures import stored

from visae.base.repository import RESOURCES
from visae.evals.results import read_result, write_result
from visae.evals.sparse_probing.areas import area_over_budget, area_over_log_budget
from visae.evals.sparse_probing.compute import sparse_probing
from visae.probing.rankings import rank_features
from visae.probing.splits import stratified_split
from visae.tables.published import read_recorded

PUBLISHED = RESOURCES / "published_values.csv"


@pytest.fixture(scope="module")
def problem():
    labels = np.append(np.arange(240) % 6, 17)  # class 17 has one image
    codes_fn = make_codes(60, labels, 1.5)
    test_mask = stratified_split(labels)
    return codes_fn, labels, test_mask, rank_features(codes_fn, labels, ~test_mask)


def test_equal_to_tight_probes_one_by_one(problem, tmp_path):
    codes_fn, labels, test_mask, rankings = problem
    score = sparse_probing(codes_fn, rankings, labels, test_mask, budgets=(1, 4, 40))
    assert score.arrays["budgets"].tolist() == [1, 4, 40, 60]
    assert score.arrays["classes"].tolist() == list(range(6))
    x = codes_fn.T.astype(np.float64)
    for j, k in enumerate((1, 4, 40, 60)):
        for label in range(6):
            chosen = x[:, rankings.per_class[label, :k]]
            y = labels == label
            model = tight_probe(chosen[~test_mask], y[~test_mask])
            decision = model.decision_function(chosen[test_mask])
            for name, area in (
                ("auc", roc_auc_score), ("average_precision", average_precision_score)
            ):  # fmt: skip
                expected = area(y[test_mask], decision)
                assert score.arrays[name][label, j] == pytest.approx(expected, abs=6e-3)
        chosen = x[:, rankings.overall[:k]]
        model = tight_probe(chosen[~test_mask], labels[~test_mask])
        expected = model.score(chosen[test_mask], labels[test_mask])
        # One of 48 test images may lie on a boundary.
        assert score.readings[f"accuracy_at_{k}"] == pytest.approx(expected, abs=0.021)
        mean = score.arrays["auc"][:, j].mean()
        assert score.readings[f"auc_at_{k}"] == pytest.approx(mean, rel=1e-14)
    assert score.value == score.readings["auc_at_60"]
    assert score.data["classes"] == 7
    assert score.data["eligible_classes"] == 6
    assert score.value > 0.85
    write_result(tmp_path / "sparse_probing.json", "sparse_probing", score, SAE, {})
    written = read_result(tmp_path / "sparse_probing.json")
    assert "60 features" in written["definition"]  # 128 do not exist


def test_the_last_of_the_ranked_features_counts():
    """Two features tell three classes, the better one of them two: with a budget of all, all."""
    random = np.random.default_rng(0)
    labels = np.arange(150) % 3
    codes_fn = (random.random((2, 150)) / 4 + (labels == [[0], [1]]) * [[2], [1]]).astype(
        np.float16
    )
    test_mask = stratified_split(labels)
    rankings = rank_features(codes_fn, labels, ~test_mask)
    score = sparse_probing(codes_fn, rankings, labels, test_mask, budgets=(1,))
    assert score.details["budgets"] == [1, 2]
    for reading in ("accuracy", "as_run_accuracy"):
        assert score.readings[f"{reading}_at_1"] <= 0.8
        assert score.readings[f"{reading}_at_2"] == 1


def test_as_run_ranks_on_all_images_and_takes_the_area_on_the_linear_axis(problem, tmp_path):
    codes_fn, labels, test_mask, rankings = problem
    budgets = (1, 4, 16, 40)
    score = sparse_probing(codes_fn, rankings, labels, test_mask, budgets)
    x = codes_fn.T.astype(np.float64)
    order = np.argsort(-f_classif(x, labels)[0], kind="stable")
    budgets, accuracy = (*budgets, 60), []
    for k in budgets:
        chosen = x[:, order[:k]]
        model = tight_probe(chosen[~test_mask], labels[~test_mask])
        accuracy.append(model.score(chosen[test_mask], labels[test_mask]))
        assert score.readings[f"as_run_accuracy_at_{k}"] == pytest.approx(accuracy[-1], abs=0.021)
    area = 0.0
    for (low, high), (left, right) in zip(
        itertools.pairwise(budgets), itertools.pairwise(accuracy), strict=True
    ):
        area += (high - low) * (left + right) / 2
    assert score.readings["as_run"] == pytest.approx(area / 59, abs=0.021)
    assert score.readings["as_run"] != score.readings["accuracy_area"]
    write_result(tmp_path / "sparse_probing.json", "sparse_probing", score, SAE, {})
    said = read_result(tmp_path / "sparse_probing.json")["details"]["as_run"]
    assert "[1, 4, 16, 40, 60] features" in said["definition"]
    assert "test images" in said["warning"]


def test_the_area_rule_gives_the_recorded_area_of_the_recorded_accuracies():
    """`resources/published_values.csv`, recorded runs: DINOv2, 16×, K = 192."""
    recorded = read_recorded(PUBLISHED)
    budgets = [2**i for i in range(11)]
    of_m4 = "recorded/dinov2/batchtopk_16x_k192/sparse_probing/as_run"
    accuracy = [recorded[f"{of_m4}_accuracy_at_{k}"].value for k in budgets]
    area = recorded[of_m4].value
    assert round(area_over_budget(budgets, accuracy), 4) == area == 0.5343


def test_the_headline_is_at_128_features_and_all_ranked_ones_are_a_budget(problem):
    _, labels, test_mask, _ = problem
    codes_fn = make_codes(150, labels, 1.0)
    rankings = rank_features(codes_fn, labels, ~test_mask, size=140)
    score = sparse_probing(codes_fn, rankings, labels, test_mask, budgets=(2, 140, 141))
    assert score.details["budgets"] == [2, 128, 140]  # 141 are not ranked
    assert score.details["headline_budget"] == 128
    assert score.value == score.readings["auc_at_128"] != score.readings["auc_at_140"]
    assert score.data["one_vs_rest_fits"] == 6 * 3
    assert score.data["multinomial_fits"] == 3


def test_noise_labels_are_at_chance(problem):
    """A ranking that sees the test images finds 0.6 and more here."""
    _, labels, test_mask, _ = problem
    labels = labels[:-1]
    test_mask = stratified_split(labels)
    codes_fn = make_codes(3000, labels, 0.0, seed=1)
    honest = rank_features(codes_fn, labels, ~test_mask)
    leaking = rank_features(codes_fn, labels, np.ones_like(test_mask))
    budgets = (1, 32, 128)
    score = sparse_probing(codes_fn, honest, labels, test_mask, budgets)
    # The warning of `as_run` is earned: the same features, ranked on all images.
    assert score.readings["as_run_accuracy_at_128"] > 0.35
    leak = sparse_probing(codes_fn, leaking, labels, test_mask, budgets)
    assert score.value == pytest.approx(0.5, abs=0.08)
    assert score.readings["accuracy_at_128"] == pytest.approx(1 / 6, abs=0.12)
    assert leak.value > 0.65


def test_storage_and_processes_never_change_a_number(problem, tmp_path):
    codes_fn, labels, test_mask, rankings = problem
    expected = sparse_probing(codes_fn, rankings, labels, test_mask, budgets=(2, 40))
    with h5py.File(tmp_path / "reductions.h5", "w") as file:
        in_file = stored(file, codes_fn)
        score = sparse_probing(in_file, rankings, labels, test_mask, budgets=(2, 40), processes=2)
    assert score.readings == pytest.approx(expected.readings, abs=1e-9)
    np.testing.assert_allclose(score.arrays["auc"], expected.arrays["auc"], atol=1e-9)


def test_without_test_images_the_value_is_null(tmp_path):
    labels = np.array([0, 1, 2])
    codes_fn = np.eye(4, 3, dtype=np.float16)
    test_mask = stratified_split(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rankings = rank_features(codes_fn, labels, ~test_mask)
        score = sparse_probing(codes_fn, rankings, labels, test_mask)
    assert score.value is None
    assert score.data["eligible_classes"] == 0
    write_result(tmp_path / "sparse_probing.json", "sparse_probing", score, SAE, {})


def test_area_is_a_mean_over_doublings():
    assert area_over_log_budget([1, 2, 4], [0.2, 0.2, 0.2]) == pytest.approx(0.2)
    assert area_over_log_budget([1, 4, 8], [0.0, 0.4, 0.4]) == pytest.approx((0.4 + 0.4) / 3)
    assert area_over_log_budget([128], [0.4]) is None


def test_half_of_the_weight_of_doubling_budgets_is_on_the_last_step():
    budgets = [2**i for i in range(11)]
    last = [0.0] * 9 + [1.0, 1.0]
    assert area_over_budget(budgets, last) == pytest.approx((512 + 128) / 1023)
    assert area_over_budget(budgets, [0.4] * 11) == pytest.approx(0.4)
    assert area_over_budget([128], [0.4]) is None
