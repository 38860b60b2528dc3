"""Own SAEs on the study's curves: planted lines are read off, and never beyond their ends."""

import math

import pytest

from visae.figures.style import backbone_styles
from visae.products.own_saes_figure.make import draw
from visae.tables.own_saes import own_saes


def rows_of(sae, l0, fvu, m1, sweep="main", factor=8, backbone="clip"):
    about = {
        "sae": sae,
        "sweep": sweep,
        "expansion_factor": factor,
        "backbone": backbone,
        "layer": 11,
    }
    values = {
        ("fvu", "headline"): fvu,
        ("fvu", "mean_l0"): l0,
        ("localization", "headline"): m1,
    }
    return [about | {"metric": m, "reading": r, "value": v} for (m, r), v in values.items()]


def study(factor=8, shift=0.0):
    """M1 rises by 0.1 per doubling of L0, FVU halves with it."""
    steps = range(4)
    saes = [(f"x{factor}_{n}", 16 * 2**n, 0.16 / 2**n, 0.2 + 0.1 * n + shift) for n in steps]
    return [row for sae in saes for row in rows_of(*sae, factor=factor)]


def line(rows, metric="localization"):
    [found] = [r for r in own_saes(rows, ["own"]).rows if r["metric"] == metric]
    return found


def test_values_are_read_off_at_equal_l0_and_at_equal_fvu():
    l0 = 32 * math.sqrt(2)  # half a doubling beyond the second
    found = line(study() + rows_of("mine", l0, 0.02, 0.5, "own"))
    assert found["at_l0"] == pytest.approx(0.35)
    assert found["over_l0"] == pytest.approx(0.15)
    assert found["at_fvu"] == pytest.approx(0.5)  # FVU .02 is the fourth's
    assert found["over_fvu"] == pytest.approx(0.0, abs=1e-12)
    assert found["reason"] is None


def test_the_nearest_is_the_nearest_in_ratio():
    found = line(study() + rows_of("mine", 90, 0.05, 0.5, "own"))
    assert (found["nearest"], found["nearest_l0"]) == ("x8_2", 64)
    assert found["nearest_value"] == pytest.approx(0.4)


@pytest.mark.parametrize(("factor", "expected"), [(24, 1.3), (10.5, 0.3)])
def test_the_curve_is_that_of_the_nearest_expansion_factor(factor, expected):
    rows = study() + study(factor=32, shift=1.0)
    found = line(rows + rows_of("mine", 32, 0.08, 0.0, "own", factor=factor))
    assert found["at_l0"] == pytest.approx(expected)


def test_the_curve_is_that_of_the_sweep_with_the_most_saes_and_of_the_first_of_several():
    few, again = rows_of("few", 32, 0.08, 9.0, "few"), study(shift=1.0)
    rows = few + study() + [row | {"sweep": "again"} for row in again]
    found = line(rows + rows_of("mine", 32, 0.08, 0.5, "own"))
    assert (found["sweep"], found["at_l0"]) == ("main", pytest.approx(0.3))


@pytest.mark.parametrize(
    ("l0", "fvu", "words"),
    [
        (8, 0.08, "L0 8 is outside the study's 16 to 128"),
        (32, 0.5, "FVU 0.5 is outside the study's 0.02 to 0.16"),
        (32, None, "its FVU is unknown"),
        (None, 0.08, "its L0 is unknown"),
        (0.0, 0.08, "its L0 is 0"),
    ],
)
def test_nothing_is_read_off_beyond_the_curve(l0, fvu, words):
    found = line(study() + rows_of("mine", l0, fvu, 0.5, "own"))
    assert words in found["reason"]


def test_a_place_without_other_saes_has_no_curve():
    found = line(study() + rows_of("mine", 32, 0.08, 0.5, "own", backbone="mae"))
    assert (found["sweep"], found["nearest"], found["at_l0"]) == (None, None, None)
    assert "fewer than two SAEs of the study" in found["reason"]


def test_an_sae_is_not_held_against_its_own_fvu():
    found = line(study() + rows_of("mine", 32, 0.05, 0.5, "own"), "fvu")
    assert found["at_l0"] == pytest.approx(0.08)
    assert (found["at_fvu"], found["over_fvu"], found["reason"]) == (None, None, None)


def test_every_own_sae_is_on_the_figure():
    scores = study() + rows_of("mine", 40, 0.05, 0.5, "own") + rows_of("two", 90, 0.03, 0.1, "own")
    titles = {"localization": "M1 Localization", "fvu": "M2 FVU"}
    figure = draw(own_saes(scores, ["own"]).rows, scores, titles, backbone_styles({"clip": "CLIP"}))
    for axes in figure.axes[:2]:
        marks = [line for line in axes.lines if line.get_marker() in "*P"]
        assert [line.get_xdata()[0] for line in marks] == [40, 90]
