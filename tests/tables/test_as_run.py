"""What one setting changes: the table against sums by hand, and the figure of it."""

import json
import re

import numpy as np
import pytest
from scipy import stats
from study_fixtures import demo_config

from visae.base.paths import Paths
from visae.base.seals import write_tensors
from visae.evals.shelf import EVALS, metrics, titles
from visae.products.as_run_figure import make as figure
from visae.products.as_run_table import ENTRY
from visae.sae.folder import FORMAT
from visae.study.study import Study
from visae.tables.as_run import ARM, CLIPPED, READING, Run, as_run, read_runs
from visae.tables.layout import write
from visae.tables.statistics import eta_squared
from visae.tables.tidy import scores_table

OFF = {"training": {"gradient_clip": None}}
BACKBONES, SIZES = ("a", "b", "c", "d"), (4, 8, 16)


def planted(rng, shift=0.0, readings=("headline",), metric="fvu", sizes=SIZES):
    """A Run with values of one metric; its values as [readings, backbones, sizes]."""
    values_rbc = rng.normal(size=(len(readings), len(BACKBONES), len(sizes))) + shift
    run = Run({}, {})
    for (b, c), _ in np.ndenumerate(values_rbc[0]):
        sae = BACKBONES[b], f"batchtopk_{sizes[c]}x_k8"
        run.saes[sae] = {"backbone": sae[0], "sae": sae[1], "expansion_factor": sizes[c],
                         "sparsity": 8, "metric": metric, "layer": 3}  # fmt: skip
        run.readings[sae] = {metric: dict(zip(readings, values_rbc[:, b, c], strict=True))}
    return run, values_rbc


def correlation(one, two):
    """Spearman's ρ without ties: Pearson's r of the ranks."""
    return np.corrcoef(stats.rankdata(one), stats.rankdata(two))[0, 1]


def line_of(table, setting, reading="headline"):
    [line] = [r for r in table.rows if (r["setting"], r["reading"]) == (setting, reading)]
    return line


def test_an_arm_is_compared_sae_by_sae():
    rng = np.random.default_rng(0)
    runs, values = zip(*(planted(rng) for _ in range(2)), strict=True)
    changed, after = zip(*(planted(rng, shift=0.3) for _ in range(2)), strict=True)
    studies = dict(zip("xy", runs, strict=True))
    line = line_of(as_run(studies, {"arm": dict(zip("xy", changed, strict=True))}), "arm")
    one, two = np.concatenate(values), np.concatenate(after)  # [studies, backbones, sizes]
    shifts = (two - one).mean(axis=(1, 2))
    assert (line["before"], line["after"]) == pytest.approx((one.mean(), two.mean()))
    assert line["change"] == pytest.approx(shifts.mean())
    assert (line["low"], line["high"]) == pytest.approx((shifts.min(), shifts.max()))
    assert line["range"] == pytest.approx(np.ptp(one.mean(axis=(0, 2))))
    rho = [correlation(a.mean(axis=1), b.mean(axis=1)) for a, b in zip(one, two, strict=True)]
    assert line["rho"] == pytest.approx(np.mean(rho))
    for side, name in ((one, "eta2_before"), (two, "eta2_after")):
        shares = np.array([eta_squared(v).backbone for v in side], float)
        assert line[name] == pytest.approx(shares.mean())
    assert (line["saes"], line["studies"], line["reason"]) == (24, 2, None)
    assert line["switched"] == ARM


def test_only_saes_of_both_are_compared():
    rng = np.random.default_rng(1)
    (study, values), (arm, after) = planted(rng), planted(rng, sizes=SIZES[1:])
    arm.readings["a", "batchtopk_8x_k8"]["fvu"]["headline"] = None
    line = line_of(as_run({"x": study}, {"arm": {"x": arm}}), "arm")
    both = np.ones((4, 2), bool)
    both[0, 0] = False
    assert line["before"] == pytest.approx(values[0][:, 1:][both].mean())
    assert line["after"] == pytest.approx(after[0][both].mean())
    assert line["saes"] == 7


def test_what_was_not_run_is_null_and_says_why():
    rng = np.random.default_rng(2)
    studies = {name: planted(rng)[0] for name in ("x", "y")}
    table = as_run(studies, {"nowhere": {}, "once": {"y": planted(rng)[0]}})
    nowhere, once = line_of(table, "nowhere"), line_of(table, "once")
    assert (nowhere["change"], nowhere["rho"], nowhere["reason"]) == (None, None, "not run in x, y")
    assert once["change"] is not None
    assert (once["studies"], once["reason"]) == (1, "not run in x")


def test_every_switch_of_every_metric_is_of_readings_that_its_results_have():
    for name in metrics():
        for clause, sides in EVALS[name].switches.items():
            schema = json.loads((EVALS.files(name)[0].parent / "schema.json").read_text("utf-8"))
            known = schema["properties"]["readings"]
            patterns = "|".join(known.get("patternProperties", {})) or "$^"
            for side in sides:
                if not callable(side) and side != "headline":
                    fits = side in known["properties"] or re.match(patterns, side)
                    assert fits, (name, clause, side)


def test_a_switch_reads_the_same_saes_otherwise():
    rng = np.random.default_rng(3)
    run, values = planted(rng, readings=("headline", "as_run"))
    line = line_of(as_run({"x": run}, {}), "one mean for all dimensions", "as_run")
    assert line["change"] == pytest.approx((values[1] - values[0]).mean())
    assert (line["switched"], line["metric"]) == (READING, "fvu")


def test_the_two_axes_of_m4_are_read_of_the_same_accuracies():
    accuracy = {1: 0.1, 2: 0.2, 8: 0.6}
    before, after = EVALS["sparse_probing"].switches["area on the linear axis"]
    readings = {f"as_run_accuracy_at_{k}": value for k, value in accuracy.items()}
    assert before(readings | {"accuracy_at_4": 0.9}) == pytest.approx((0.15 + 2 * 0.4) / 3)
    assert after == "as_run"


def test_the_product_reads_what_was_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = demo_config() | {"replicates": ["demo_2"]}
    config["arms"] = {"loss": {"training": {"loss": "sum"}}, "off": OFF}
    study = Study(config)
    one, two = (Paths(f"results/{name}").of_arm("loss") for name in ("demo", "demo_2"))
    weights = two.sae("batchtopk_4x_k8", place="mae_small/layer3")
    for path in (one.scores("main"), two.scores("main"), weights):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    read = ENTRY.reads(study, Paths("<results>"))
    assert read["of_arms"] == [one.scores("main"), two.scores("main"), weights]
    assert read["files"][0] == "<results>/tables/scores/main.csv"
    assert "results/demo_2/tables/scores/main.csv" in read["files"]
    assert ENTRY.settings(study)["arms"] == {"loss": ["demo", "demo_2"], "off": []}
    (tmp_path / two.scores("main")).unlink()
    assert ENTRY.settings(study)["arms"]["loss"] == ["demo"]


def test_a_study_without_anything_to_switch_has_no_such_table():
    config = demo_config()
    for sweep in config["sweeps"].values():
        sweep["metrics"] = ["localization"]
    del config["metrics"]["cross_domain"], config["downstream"], config["interventions"]
    assert "needs arms" in (ENTRY.missing(Study(config)) or "")
    assert ENTRY.missing(Study(config | {"arms": {"off": OFF}})) is None
    assert ENTRY.missing(Study(demo_config())) is None


def test_files_become_runs(tmp_path):
    place = tmp_path / "results/x"
    weights = place / "saes/a/layer3/batchtopk_4x_k8/model.safetensors"
    lines = [{"step": 10, CLIPPED: 1.0}, {"step": 14, CLIPPED: 0.5}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_tensors(weights, FORMAT, {}, beside={"training.jsonl": text})
    row = {"backbone": "a", "layer": 3, "sae": "batchtopk_4x_k8", "sweep": "main", "k": 8,
           "family": "batchtopk", "expansion_factor": 4, "sparsity": 8, "metric": "fvu",
           "reading": "headline", "value": 0.25, "reason": None, "definition": "x",
           "higher_is_better": False, "warnings": None}  # fmt: skip
    scores = place / "tables/scores/main.csv"
    scores.parent.mkdir(parents=True)
    write(scores_table([row, row | {"sweep": "other", "sae": "batchtopk_8x_k8"}]), {"csv": scores})
    first, second = read_runs([scores, weights, scores], "main")
    assert list(first.saes) == [("a", "batchtopk_4x_k8")]
    assert first.readings["a", "batchtopk_4x_k8"]["fvu"] == {"headline": 0.25}
    assert first.readings["a", "batchtopk_4x_k8"][""] == {CLIPPED: pytest.approx(12 / 14)}
    assert "" not in second.readings["a", "batchtopk_4x_k8"]


def test_the_figure_shows_every_change_and_what_was_not_run():
    rng = np.random.default_rng(4)
    run, _ = planted(rng, readings=("headline", "as_run", "mean_l0", "dead_fraction"))
    other, _ = planted(rng, readings=("headline", "as_run", "mean_l0", "dead_fraction"))
    rows = as_run({"x": run}, {"other_arm": {"x": other}, "not_yet": {}}).rows
    drawn = figure.draw(rows, titles(metrics()))
    texts = [text.get_text() for axes in drawn.axes for text in axes.texts]
    change = line_of(as_run({"x": run}, {"other_arm": {"x": other}}), "other_arm")["change"]
    assert sum(text.startswith(figure._signed(change)) for text in texts) == 1
    assert "not run" in texts
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels[:2] == ["other arm", "not yet"]
    # Without arms there is nothing beside the metrics, and no line between two blocks.
    alone = figure.draw(as_run({"x": run}, {}).rows, titles(metrics()))
    assert [t.get_text() for t in alone.axes[0].get_xticklabels()] == ["M2 FVU"]
