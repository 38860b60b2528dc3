"""Tables and figure of interventions, of outcomes that are counted by hand."""

import numpy as np
import pytest

from visae.base.errors import UserError
from visae.interventions.outcomes import read_outcomes, write_outcomes
from visae.interventions.settings import EDITS
from visae.products.interventions_figure.make import draw
from visae.tables.interventions import features_table, interventions_table


def row(name, changed, other_changed, edit="feature", seed=0, strength=1, **changes):
    return {
        "class": name, "feature": 3, "correlation": 0.5, "chosen": "rule", "edit": edit,
        "seed": seed, "strength": strength, "target": 10, "target_changed": changed, "other": 40,
        "other_changed": other_changed, "probability_before": 0.75, "probability_after": 0.25,
    } | changes  # fmt: skip


def outcomes(path, rows, head="patches", kind="segmentation"):
    about = {"backbone": "toy", "layer": 1, "sae": "s", "blocks_left": 2, "patches": 16}
    task = {"dataset": "masks", "kind": kind, "head": head, "classes": 5, "accuracy": 0.5,
            "units": 50, "untold": [], "rows": rows}  # fmt: skip
    write_outcomes(path, about, [task])
    return path


def test_shares_are_means_over_classes_of_means_over_seeds(tmp_path):
    names = ("a", "b", "c", "d")
    rows = [row(name, changed, 4) for name, changed in zip(names, (2, 4, 6, 10), strict=True)]
    rows += [row("a", 10, 0, "random_direction", seed) for seed in (0, 1)]
    rows += [row("a", 0, 40, "random_direction", 2), row("b", 1, 0, "random_direction")]
    rows += [row("a", 9, 9, chosen="named"), row("e", 0, 0, target=0, target_changed=0,
             probability_before=None, probability_after=None)]  # fmt: skip
    found = interventions_table([outcomes(tmp_path / "o.json", rows)]).rows
    feature, random = found
    assert (feature["edit"], feature["head"], feature["classes"]) == (
        "feature", "single patches", 5,
    )  # fmt: skip
    shares = np.array([0.2, 0.4, 0.6, 1.0])
    assert feature["target"] == pytest.approx(shares.mean())  # a class without units has no share
    assert feature["target_sd"] == pytest.approx(shares.std(ddof=1))
    assert feature["other"] == pytest.approx(np.mean([0.1] * 4 + [0]))
    assert 0.2 <= feature["target_low"] < 0.4 < feature["target_high"] <= 1
    assert random["target"] == pytest.approx((2 / 3 + 0.1) / 2)
    assert random["other"] == pytest.approx((1 / 3 + 0) / 2)
    assert random["target_low"] is None, "of two classes there is no interval"


def test_the_interval_is_the_bootstraps(tmp_path):
    """An exact reference: of two-valued shares a resample's mean is binomial."""
    rows = [row(f"c{n}", 10 * (n % 2), 0) for n in range(400)]
    [found] = interventions_table([outcomes(tmp_path / "o.json", rows)]).rows
    sd = 0.5 / np.sqrt(400)
    # Three standard errors of a quantile of 2000 resamples; those of 90 % lie 0.008 nearer.
    assert found["target_low"] == pytest.approx(0.5 - 1.96 * sd, abs=0.005)
    assert found["target_high"] == pytest.approx(0.5 + 1.96 * sd, abs=0.005)


def test_every_feature_has_its_probabilities(tmp_path):
    rows = [row("a", 5, 1), row("a", 1, 1, "random_feature", 0, probability_after=0.7),
            row("a", 3, 3, "random_feature", 1, probability_after=0.5),
            row("b", 9, 9, chosen="named", feature=8)]  # fmt: skip
    first, other, named = features_table([outcomes(tmp_path / "o.json", rows)]).rows
    assert (first["before"], first["after"], first["target"]) == (0.75, 0.25, 0.5)
    assert other["after"] == pytest.approx(0.6)
    assert (other["target"], other["other"]) == (pytest.approx(0.2), pytest.approx(0.05))
    assert (named["feature"], named["chosen"], named["class"]) == (8, "named", "b")


def test_the_figure_draws_a_panel_per_data_set_and_head(tmp_path):
    rows = [row(n, 4, 2, edit, 0, s) for n in "abcd" for s in (-1, 1, 2) for edit in EDITS]
    paths = [outcomes(tmp_path / "o.json", rows),
             outcomes(tmp_path / "p.json", rows, "class_token", "classification")]  # fmt: skip
    figure = draw(interventions_table(paths).rows, {"toy": "Toy"})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title("left") for axes in shown] == [
        "masks, single patches", "masks, class token",
    ]  # fmt: skip
    points = {tuple(np.round(p, 6)) for line in shown[0].lines for p in line.get_xydata()}
    assert {(0.05, 0.4), (0.0, 0.0)} <= points
    # One number at the end of either side: those between lie in order.
    said = [text.get_text() for text in shown[0].texts if text.get_text().startswith("s =")]
    assert sorted(said) == ["s = 2", "s = −1"]
    [legend] = figure.legends
    assert "open: s < 0, stronger" in {text.get_text() for text in legend.get_texts()}


def test_the_lowest_panel_of_each_column_has_an_axis_and_saes_of_a_block_have_names():
    ends = dict.fromkeys(f"{what}_{end}" for what in ("target", "other") for end in ("low", "high"))
    base = ends | {"layer": 1, "edit": "feature", "strength": 1, "target": 0.4, "other": 0.1}
    rows = [
        base | {"backbone": backbone, "sae": sae, "dataset": "a", "head": head}
        for backbone, sae in (("toy", "one"), ("toy", "two"), ("other", "one"))
        for head in ("class token", "pooled patches")
    ]
    figure = draw(rows, {"toy": "Toy", "other": "Other"})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [bool(axes.get_xlabel()) for axes in shown] == [False, False, True, True, True, True]
    texts = [{text.get_text() for text in axes.texts} for axes in shown]
    assert all("Toy, block 1\none" in found for found in texts[:2])
    assert all("Toy, block 1\ntwo" in found for found in texts[2:4])
    assert all("Other, block 1" in found for found in texts[4:])


def test_no_outcome_at_all_is_drawn_empty(tmp_path):
    table = interventions_table([outcomes(tmp_path / "o.json", [])])
    assert table.rows == []
    assert not any(axes.lines for axes in draw(table.rows, {}).axes if axes.get_visible())


@pytest.mark.parametrize(
    "change",
    [
        {"target_changed": 11},
        {"edit": "features"},
        {"chosen": "chance"},
        {"probability_after": 1.5},
        {"probability_before": None},
        {"strength": None},
        {"feature": -1},
    ],
)
def test_outcomes_that_cannot_be_are_refused(change, tmp_path):
    path = outcomes(tmp_path / "o.json", [row("a", 1, 1) | change])
    with pytest.raises(UserError, match=r"o\.json is damaged or not outcomes"):
        read_outcomes(path)


def test_a_head_of_another_kind_is_refused(tmp_path):
    path = outcomes(tmp_path / "o.json", [], "patches", "classification")
    with pytest.raises(UserError, match="head patches is not one of classification"):
        read_outcomes(path)
