"""Whatever has become of a file, its reader gives what was written, or a UserError.

`VISAE_FUZZ=1000` reads so many mutations of each kind of file; `fuzz.py` prints the counts.
"""

import json
import os
import time

import fuzz
import pytest
from fuzz_kinds import KINDS
from hypothesis import given, settings
from hypothesis import strategies as st

from visae.base.errors import UserError

MUTATIONS = int(os.environ.get("VISAE_FUZZ", "16"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_damaged_file_is_read_as_whole(kind, tmp_path_factory):
    @settings(max_examples=1, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def read(seed):
        found = fuzz.outcomes(kind, tmp_path_factory.mktemp("fuzz"), seed, MUTATIONS)
        assert len(found) == MUTATIONS
        allowed = {"refused", "same"} if kind.digest else {"refused", "same", "other"}
        assert [(seed, *each) for each in found if each[0] not in allowed] == []
        assert any(outcome == "refused" for outcome, _ in found)

    read()


def _make(folder):
    path = folder / "toy.json"
    path.write_text('{"a": [1, 2, 3], "b": "text"}')
    return path


def _careless(path):
    return json.loads(path.read_text())


def _crashing(path):
    os.abort()


def _busy(path):
    time.sleep(60)


def _refusing(path):
    raise UserError("no")


@pytest.mark.parametrize(
    ("reader", "outcomes"),
    [
        (_careless, {"traceback", "other", "same", "time-out"}),
        (_crashing, {"crash"}),
        (_busy, {"time-out"}),
        (_refusing, {"refused"}),
    ],
)
def test_readers_that_are_no_good_are_found_out(reader, outcomes, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.5 if reader in (_busy, _careless) else 20)
    first = []

    def read(path):  # the file that is whole, then its mutations in children
        return reader(path) if first else first.append(path)

    mutations = 60 if reader is _careless else 3
    found = fuzz.outcomes(fuzz.Kind("toy", _make, read), tmp_path, 0, mutations)
    assert {outcome for outcome, _ in found} >= outcomes - {"same"}
    assert {outcome for outcome, _ in found} <= outcomes
