import numpy as np
import pytest
from metric_fixtures import SAE, make_codes, tight_probe

from visae.evals.cross_domain.compute import (
    accuracy_within,
    cross_domain,
    domain_reading,
    raw_reading,
)
from visae.evals.results import write_result
from visae.probing.auc import roc_auc
from visae.probing.rankings import rank_features
from visae.probing.raw_probes import fit_domain_probe
from visae.probing.splits import stratified_split


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(2)
    labels = np.arange(300) % 5
    codes_fn = make_codes(150, labels, 1.2)
    raw = random.normal(size=(300, 12)) + 1.5 * random.normal(size=(5, 12))[labels]
    recon = raw + 1.0 * random.normal(size=raw.shape)
    return raw.astype(np.float32), recon.astype(np.float32), codes_fn, labels


def reading_of(problem, split=200, **settings):
    raw, recon, codes_fn, labels = problem
    train, test = slice(0, split), slice(split, None)
    rankings = rank_features(codes_fn[:, train], labels[train], np.ones(split, bool))
    known = raw_reading(fit_domain_probe(raw[train], labels[train]), raw[test], labels[test])
    return rankings, domain_reading(
        known, recon[train], recon[test], codes_fn[:, train], codes_fn[:, test], rankings,
        labels[train], labels[test], processes=2, **settings,
    )  # fmt: skip


def test_each_representation_has_its_own_probe(problem, tmp_path):
    raw, recon, codes_fn, labels = problem
    rankings, reading = reading_of(problem)
    score = cross_domain({"cub": reading}, headline="cub", as_run={"cub": 0.9})
    x = codes_fn.T.astype(np.float64)
    best = x[:, rankings.overall[:128]]
    accuracies = [
        tight_probe(features[:200], labels[:200]).score(features[200:], labels[200:])
        for features in (raw, recon, best)
    ]
    readings = score.readings
    assert readings["cub_accuracy_raw"] == pytest.approx(accuracies[0], abs=0.011)
    assert readings["cub_accuracy_reconstructed"] == pytest.approx(accuracies[1], abs=0.011)
    assert readings["cub_accuracy_codes_at_128"] == pytest.approx(accuracies[2], abs=0.021)
    areas = []
    for label in range(5):
        chosen = x[:, rankings.per_class[label, :128]]
        model = tight_probe(chosen[:200], labels[:200] == label)
        areas.append(roc_auc(model.decision_function(chosen[200:]), labels[200:] == label))
    assert readings["cub_auc_codes_at_128"] == pytest.approx(np.mean(areas), abs=3e-3)
    assert score.value == readings["cub_accuracy_reconstructed"] / readings["cub_accuracy_raw"]
    assert score.value < 1
    assert readings["as_run"] == readings["cub_as_run"] == 0.9
    assert score.data == {"cub": reading.data}
    assert reading.data == {
        "training_images": 200, "test_images": 100, "classes": 5, "eligible_classes": 5,
        "one_vs_rest_classes": 5,
    }  # fmt: skip
    assert score.details["headline"] == "cub"
    assert score.details["converged_raw"] == {"cub": True}
    assert score.details["not_converged"] == {"cub": 0}
    assert score.details["estimators"]["cub"]["codes"].startswith("SciPy L-BFGS")
    write_result(tmp_path / "cross_domain.json", "cross_domain", score, SAE, {})


def test_areas_of_a_sample_of_classes_are_those_of_these_classes(problem):
    codes_fn, labels = problem[2:]
    rankings, reading = reading_of(problem, one_vs_rest_classes=2, seed=5)
    _, whole = reading_of(problem)
    assert (reading.data["eligible_classes"], reading.data["one_vs_rest_classes"]) == (5, 2)
    assert (whole.data["eligible_classes"], whole.data["one_vs_rest_classes"]) == (5, 5)
    sampled = np.sort(np.random.default_rng(5).choice(5, 2, replace=False))
    areas = []
    for label in sampled:
        chosen = codes_fn.T[:, rankings.per_class[label, :128]].astype(np.float64)
        model = tight_probe(chosen[:200], labels[:200] == label)
        areas.append(roc_auc(model.decision_function(chosen[200:]), labels[200:] == label))
    assert reading.auc_codes == pytest.approx(np.mean(areas), abs=3e-3)
    assert reading.accuracy_codes == whole.accuracy_codes  # of all classes


def test_many_classes_are_probed_with_adam_and_it_is_recorded(problem, monkeypatch):
    monkeypatch.setattr("visae.probing.multinomial.ADAM_ABOVE_CLASSES", 4)
    _, reading = reading_of(problem)
    assert all(name.startswith("Adam") for name in reading.estimators.values())
    assert reading.accuracy_reconstructed > 0.5


def test_as_run_divides_one_split(problem):
    """Fitted on four fifths of each class and scored on the rest, both of the same split."""
    raw, recon, _, labels = problem
    held_out = stratified_split(labels, 0.2, seed=3)
    for x in (raw, recon):
        expected = tight_probe(x[~held_out], labels[~held_out]).score(x[held_out], labels[held_out])
        assert accuracy_within(x, labels, seed=3) == pytest.approx(expected, abs=1 / 60 + 1e-9)
    assert np.bincount(labels[held_out]).tolist() == [12] * 5
    assert accuracy_within(raw[:5], labels[:5]) is None  # one image of each class


def test_an_absent_headline_is_null_and_the_others_are_read(problem, tmp_path):
    _, reading = reading_of(problem)
    score = cross_domain({"dtd": reading}, "inaturalist", {"dtd": 0.9})
    assert score.value is None
    assert "inaturalist" in score.reason
    assert score.readings["dtd_preservation"] == reading.preservation
    assert score.readings["as_run"] is None
    write_result(tmp_path / "cross_domain.json", "cross_domain", score, SAE, {})
    write_result(
        tmp_path / "cross_domain.json", "cross_domain", cross_domain({}, "inaturalist", {}), SAE, {}
    )
