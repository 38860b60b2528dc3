"""Files that exist are whole, also after the power is lost: the order of what a writer asks for."""

import os
import stat

import pytest

from visae.base.files import write_text


@pytest.fixture
def calls(monkeypatch):
    """The names of the calls that decide what a disk holds, in order; one of them may be cut."""
    seen, cut = [], []

    def note(name):
        if cut == [len(seen)]:
            raise KeyboardInterrupt
        seen.append(name)

    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle):
        note("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
        fsync(handle)

    def noted_replace(source, target):
        note("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return seen, cut


def test_content_is_synced_before_the_name_and_the_name_after_it(tmp_path, calls):
    write_text(tmp_path / "a.txt", "new")
    assert calls[0] == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_writer_cut_at_any_call_leaves_the_old_file_or_the_new_one(tmp_path, calls, call):
    (tmp_path / "a.txt").write_text("old")
    calls[1].append(call)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == ("new" if call == 2 else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
