import numpy as np
import pytest
from metric_fixtures import SAE, make_codes, tight_probe
from sklearn.feature_selection import f_classif
from sklearn.metrics import f1_score as sklearn_f1

from visae.evals.absorption.compute import absorbed_share, absorption, f1_score
from visae.evals.absorption.entry import ALPHAS, BETAS
from visae.evals.results import read_result, write_result
from visae.probing.rankings import rank_features
from visae.probing.siblings import SiblingGroup
from visae.probing.splits import stratified_split

GROUPS = [SiblingGroup("p", (0, 1, 2, 3, 4, 5))]


def planted(images=100):
    """Class 0 has one feature of its own; four others cover a quarter of class 1 each."""
    random = np.random.default_rng(0)
    labels = np.arange(images * 6) % 6
    codes_fn = 0.2 * random.random((12, labels.size)) * (random.random((12, labels.size)) < 0.2)
    codes_fn[5, labels == 0] += 2
    quarter = random.integers(0, 4, labels.size)
    for i in range(4):
        codes_fn[7 + i, (labels == 1) & (quarter == i)] += 5
    return codes_fn.astype(np.float16), labels


@pytest.fixture(scope="module")
def problem():
    codes_fn, labels = planted()
    test_mask = stratified_split(labels)
    return codes_fn, labels, test_mask, rank_features(codes_fn, labels, ~test_mask, GROUPS)


def test_a_class_that_needs_four_features_counts_and_one_that_needs_one_does_not(problem, tmp_path):
    codes_fn, labels, test_mask, rankings = problem
    score = absorption(codes_fn, rankings, GROUPS, labels, test_mask)
    one, four = score.arrays["f1_one"], score.arrays["f1_four"]
    assert one[0] > 0.95
    assert score.arrays["features"][0, 0] == 5
    assert one[1] < 0.6
    assert four[1] > 0.9
    assert set(score.arrays["features"][1]) == {7, 8, 9, 10}
    assert score.value == absorbed_share(one, four, 0.8, 0.5) == np.mean((one < 0.8) & (four > 0.5))
    assert 1 / 6 <= score.value < 1
    counts = {"groups": 1, "tasks": 6, "eligible_tasks": 6, "fits": 12, "as_run_tasks": 6}
    assert score.data == counts
    write_result(tmp_path / "absorption.json", "absorption", score, SAE, {})


def test_f1_is_that_of_tight_probes_on_held_out_images(problem):
    _, labels, test_mask, _ = problem
    codes_fn = make_codes(40, labels, 1.0)  # overlapping classes: F1 differs between the parts
    rankings = rank_features(codes_fn, labels, ~test_mask, GROUPS)
    score = absorption(codes_fn, rankings, GROUPS, labels, test_mask, processes=2)
    x = codes_fn.T.astype(np.float64)
    for row, label in enumerate(range(6)):
        for name, k in (("f1_one", 1), ("f1_four", 4)):
            chosen = x[:, rankings.siblings[row, :k]]
            model = tight_probe(chosen[~test_mask], labels[~test_mask] == label)
            expected = sklearn_f1(labels[test_mask] == label, model.predict(chosen[test_mask]))
            assert score.arrays[name][row] == pytest.approx(expected, abs=1e-12)
    assert 0 < score.readings["mean_f1_four"] < 0.9


def test_as_run_ranks_fits_and_reads_on_the_same_images(problem, tmp_path):
    _, labels, test_mask, _ = problem
    labels = labels.copy()
    labels[labels == 5] = 7  # no member of the group: its images are no negatives
    labels[np.flatnonzero(labels == 4)[2:]] = 7  # two images are too few
    codes_fn = make_codes(40, labels, 1.0)
    groups = [SiblingGroup("p", (0, 1, 2, 3, 4)), SiblingGroup("q", (50, 51, 52))]
    rankings = rank_features(codes_fn, labels, ~test_mask, groups)
    score = absorption(codes_fn, rankings, groups, labels, test_mask, processes=2)
    inside = np.isin(labels, range(5))
    x, gains = codes_fn.T.astype(np.float64)[inside], []
    for label in range(4):
        positive = labels[inside] == label
        order = np.argsort(-f_classif(x, positive)[0], kind="stable")
        f1 = []
        for k in (1, 4):
            model = tight_probe(x[:, order[:k]], positive)
            f1.append(sklearn_f1(positive, model.predict(x[:, order[:k]])))
        gains.append(f1)
    gains = np.array(gains)
    assert score.data["as_run_tasks"] == 4
    assert score.readings["as_run_mean_f1_one"] == pytest.approx(gains[:, 0].mean(), abs=1e-12)
    assert score.readings["as_run_mean_f1_four"] == pytest.approx(gains[:, 1].mean(), abs=1e-12)
    assert score.readings["as_run"] == np.mean(gains[:, 1] - gains[:, 0] > 0.1)
    write_result(tmp_path / "absorption.json", "absorption", score, SAE, {})
    said = read_result(tmp_path / "absorption.json")["details"]["as_run"]
    assert "F1(4) − F1(1) > 0.1" in said["definition"]
    assert "on which" in said["warning"]


def test_the_sweep_comes_from_the_stored_f1(problem):
    codes_fn, labels, test_mask, rankings = problem
    score = absorption(codes_fn, rankings, GROUPS, labels, test_mask)
    for alpha in (0.7, 0.8, 0.9):
        for beta in (0.3, 0.5, 0.7):
            again = absorption(codes_fn, rankings, GROUPS, labels, test_mask, alpha, beta)
            assert score.readings[f"absorbed_alpha_{alpha}_beta_{beta}"] == again.value


def test_readings_are_those_of_the_stored_f1():
    """Classes whose own feature fires on ever fewer of their images: F1 lies between all bounds."""
    random = np.random.default_rng(0)
    labels = np.arange(1200) % 6
    own = np.array([0.85, 0.75, 0.62, 0.45, 0.15, 0.06])[labels]
    codes_fn = np.zeros((18, labels.size), np.float16)
    for copy, share in enumerate((own, own / 2, own / 4)):
        fires = random.random(labels.size) < share
        codes_fn[labels + 6 * copy, np.arange(labels.size)] = fires * (1 + random.random(1200))
    test_mask = stratified_split(labels)
    rankings = rank_features(codes_fn, labels, ~test_mask, GROUPS)
    score = absorption(codes_fn, rankings, GROUPS, labels, test_mask, 0.7, 0.4)
    one, four = score.arrays["f1_one"], score.arrays["f1_four"]
    assert score.readings["mean_f1_one"] == pytest.approx(one.mean(), abs=1e-12)
    assert score.readings["mean_f1_four"] == pytest.approx(four.mean(), abs=1e-12)
    assert one.mean() < four.mean()
    for alpha in (0.7, 0.8, 0.9):
        for beta in (0.3, 0.5, 0.7):
            expected = np.mean([a < alpha and b > beta for a, b in zip(one, four, strict=True)])
            assert score.readings[f"absorbed_alpha_{alpha}_beta_{beta}"] == expected
    assert score.value == np.mean([a < 0.7 and b > 0.4 for a, b in zip(one, four, strict=True)])
    shares = [[score.readings[f"absorbed_alpha_{a}_beta_{b}"] for b in BETAS] for a in ALPHAS]
    assert len(set(shares[2])) == len({row[0] for row in shares}) == 3  # each bound decides
    assert score.details["most_features"] == 4
    assert score.arrays["class"].tolist() == list(range(6))
    assert score.arrays["group"].tolist() == [0] * 6


@pytest.mark.parametrize(
    ("positives", "siblings", "tasks"), [(3, 7, 3), (2, 8, 2), (3, 6, 0), (7, 3, 3), (8, 2, 2)]
)
def test_as_run_takes_groups_of_ten_images_with_three_on_either_side(positives, siblings, tasks):
    """Class 0, and its siblings 1 and 2: class 2 has one image and is a task of no kind."""
    labels = np.repeat([0, 1, 2], [positives, siblings - 1, 1])
    codes_fn = np.random.default_rng(0).random((9, labels.size)).astype(np.float16)
    groups, test_mask = [SiblingGroup("p", (0, 1, 2))], np.arange(labels.size) % 3 == 0
    rankings = rank_features(codes_fn, labels, ~test_mask, groups)
    score = absorption(codes_fn, rankings, groups, labels, test_mask)
    sizes = np.bincount(labels)
    enough = labels.size >= 10
    expected = sum(enough and 3 <= size <= labels.size - 3 for size in sizes)
    assert score.data["as_run_tasks"] == expected


def test_no_group_and_no_eligible_task_are_null_not_zero(problem, tmp_path):
    codes_fn, labels, test_mask, _ = problem
    without = rank_features(codes_fn, labels, ~test_mask)
    score = absorption(codes_fn, without, [], labels, test_mask)
    assert score.value is None
    assert "no sibling group" in score.reason
    write_result(tmp_path / "absorption.json", "absorption", score, SAE, {})
    groups = [SiblingGroup("x", (0, 50, 51))]
    absent = rank_features(codes_fn, labels, ~test_mask, groups)
    score = absorption(codes_fn, absent, groups, labels, test_mask)
    assert score.value is None
    counts = {"groups": 1, "tasks": 3, "eligible_tasks": 0, "fits": 0, "as_run_tasks": 0}
    assert score.data == counts
    assert score.readings["as_run"] is None
    write_result(tmp_path / "absorption.json", "absorption", score, SAE, {})


def test_tasks_without_held_out_images_are_not_eligible(problem):
    codes_fn, labels, test_mask, _ = problem
    test_mask = test_mask & (labels != 2)
    rankings = rank_features(codes_fn, labels, ~test_mask, GROUPS)
    score = absorption(codes_fn, rankings, GROUPS, labels, test_mask)
    assert score.arrays["class"].tolist() == [0, 1, 3, 4, 5]
    assert score.data["eligible_tasks"] == 5


def test_f1_and_the_thresholds_are_strict():
    positive = np.array([True, True, False, False])
    assert f1_score(positive, np.zeros(4, bool)) == 0
    assert f1_score(positive, np.array([True, False, True, False])) == 0.5
    assert absorbed_share(np.array([0.8, 0.7]), np.array([0.9, 0.5]), 0.8, 0.5) == 0
