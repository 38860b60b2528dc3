"""Printed numbers beside a run's: by their own definition, and by others that differ."""

from types import SimpleNamespace

import pytest

from visae.tables.published_vs_run import published_vs_run


def entry(value):
    return SimpleNamespace(source="print", place="§4.1", value=value, unit="")


def test_a_reading_has_a_row_where_it_differs_by_more_than_rounding():
    published = {key: entry(0.5) for key in ("same", "other", "unknown", "lacking")}
    run = {"same": 0.4, "other": 0.4, "lacking": 0.4}
    anew = {"same": 0.4 * (1 + 1e-11), "other": 0.4 + 1e-6, "unknown": 0.3, "more": 1.0}
    rows = published_vs_run(published, run, {"written": anew}).rows
    assert [(row["key"], row["reading"], row["run"]) for row in rows] == [
        ("same", None, 0.4),
        ("other", None, 0.4),
        ("other", "written", 0.4 + 1e-6),
        ("unknown", None, None),
        ("unknown", "written", 0.3),
        ("lacking", None, 0.4),
    ]
    assert rows[0]["difference"] == pytest.approx(-0.1)
    assert rows[3]["difference"] is None
    assert rows[0]["place"] == "Sec. 4.1"
    assert rows[0]["published"] == 0.5
    assert len(published_vs_run(published, run).rows) == 4
