"""Progress: a line now and then, with what is left; none of short work, none unasked."""

import numpy as np
import pytest
import scipy.sparse

from visae.audit import matching
from visae.base import progress
from visae.evals.retrieval import compute as retrieval
from visae.probing.multinomial import fit_probe


@pytest.fixture
def said(monkeypatch):
    """Lines that are shown; a second passes whenever the clock is read."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    monkeypatch.delenv(progress.OFTEN, raising=False)
    lines = []
    progress.show(lines.append)
    yield lines
    progress.show(None)


def test_a_line_after_five_seconds_and_one_a_minute(said):
    assert list(progress.counted(range(150), "things seen", 150)) == list(range(150))
    assert said == [
        "5 of 150 things seen (5 s, 2 min 25 s left)",
        "65 of 150 things seen (1 min 5 s, 1 min 25 s left)",
        "125 of 150 things seen (2 min 5 s, 25 s left)",
    ]


def test_who_draws_a_bar_is_told_more_often(said, monkeypatch):
    monkeypatch.setenv(progress.OFTEN, "5")
    progress.show(said.append)
    list(progress.counted(range(21), "things"))
    assert [line.split()[0] for line in said] == ["5", "10", "15", "20"]


def test_without_a_total_nothing_is_foretold(said):
    list(progress.counted(iter("x" * 10), "letters"))
    assert said == ["5 letters (5 s)"]


def test_items_may_stand_for_several(said):
    list(progress.counted(["ab"] * 1000, "letters", 2000, size=len))
    assert said[0] == "10 of 2,000 letters (5 s, 16 min left)"
    assert said[-1] == "1,930 of 2,000 letters (16 min, 35 s left)"


def test_resumed_work_foretells_by_what_is_new(said):
    list(progress.counted(range(10), "steps", 110, done=100))
    assert said == ["105 of 110 steps (5 s, 5 s left)"]


def test_what_is_no_loop_is_counted_too(said):
    count = progress.Count("steps", 20)
    for _ in range(6):
        count(2)
    assert said == ["10 of 20 steps (5 s, 5 s left)"]


def test_short_work_says_nothing(said):
    list(progress.counted(range(4), "things"))
    assert said == []


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s"), (59.6, "1 min 0 s"), (605, "10 min"), (4000, "1 h 6 min")]
)
def test_durations(seconds, text):
    assert progress._duration(seconds) == text


def test_outside_of_jobs_nothing_is_counted(monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", None)
    assert list(progress.counted("abc", "letters")) == ["a", "b", "c"]
    progress.Count("letters")(3)


def test_probes_matches_and_retrieval_say_how_far_they_are(said, monkeypatch):
    random = np.random.default_rng(0)
    x_nd, labels_n = random.normal(size=(40, 8)).astype(np.float32), np.arange(40) % 4
    fit_probe(x_nd, labels_n, estimator="adam")
    monkeypatch.setattr(matching, "_BLOCK", 1)
    codes = scipy.sparse.csr_array(np.maximum(x_nd, 0))
    matching.match(codes, codes, 2, 0.95, 0)
    monkeypatch.setattr(retrieval, "_BLOCK_BYTES", 1)
    retrieval.retrieve(x_nd, labels_n)
    for what in ("passes of a probe", "blocks of features compared", "blocks of queries compared"):
        assert [line for line in said if what in line], what
