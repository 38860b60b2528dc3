"""Progress: one line now and then, with what is left; none of a short job, none outside of jobs."""

import pytest

from visae.base import progress


@pytest.fixture
def said(monkeypatch):
    """Lines that are shown; a second passes whenever the clock is read."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    lines = []
    progress.show(lines.append)
    yield lines
    progress.show(None)


def test_one_line_for_each_interval(said):
    assert list(progress.counted(range(50), "things seen", 50)) == list(range(50))
    assert said == [
        "20 of 50 things seen (20 s, 30 s left)",
        "40 of 50 things seen (40 s, 10 s left)",
    ]


def test_without_a_total_nothing_is_foretold(said):
    list(progress.counted(iter("x" * 25), "letters"))
    assert said == ["20 letters (20 s)"]


def test_items_may_stand_for_several(said):
    list(progress.counted(["ab"] * 1000, "letters", 2000, size=len))
    assert said[0] == "40 of 2,000 letters (20 s, 16 min left)"
    assert said[-1] == "2,000 of 2,000 letters (16 min, 0 s left)"


def test_short_work_says_nothing(said):
    list(progress.counted(range(19), "things"))
    assert said == []


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s"), (59.6, "1 min 0 s"), (605, "10 min"), (4000, "1 h 6 min")]
)
def test_durations(seconds, text):
    assert progress._duration(seconds) == text


def test_outside_of_jobs_nothing_is_counted(monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", None)
    assert list(progress.counted("abc", "letters")) == ["a", "b", "c"]
