"""Files that exist are whole, also after a power loss; two writers of one path do not meet."""

import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest
from safetensors.numpy import save_file
from study_fixtures import ROOT

from visae.base import files
from visae.base.files import atomic_path, write_json, write_text

WRITE_SLOWLY = """
import sys, time
from visae.base.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(float(sys.argv[2]))
    temporary.write_text("whole")
"""


def writer(path, seconds):
    """Another process that writes `path`, and its temporary file."""
    command = [sys.executable, "-c", WRITE_SLOWLY, str(path), str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    return process, process.stdout.readline().strip()


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_have_the_mode_of_the_umask(tmp_path, umask):
    import numpy as np

    with atomic_path(tmp_path / "weights.safetensors") as temporary:
        save_file({"a": np.zeros(3, np.float32)}, temporary)  # writes for the user alone
    write_json(tmp_path / "score.json", {"value": 1})
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~umask}


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "scores.json"
    other, temporary = writer(path, 1)
    write_text(path, "mine")
    assert path.read_text() == "mine"
    assert os.path.exists(temporary)
    assert other.wait() == 0
    assert path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    path = tmp_path / "scores.json"
    other, temporary = writer(path, 60)
    other.kill()
    other.wait()
    assert os.path.exists(temporary)
    write_text(path, "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


tells_starts = pytest.mark.skipif(
    files._start(os.getpid()) == files.UNKNOWN, reason="this system does not tell starts"
)


@tells_starts
def test_what_a_killed_writer_left_is_removed_before_it_is_reaped(tmp_path):
    path = tmp_path / "scores.json"
    other, _ = writer(path, 60)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # ended, its number still its own
    write_text(path, "mine")
    other.wait()
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


@tells_starts
@pytest.mark.parametrize("holder", ["process", "thread"])
def test_a_number_given_again_does_not_keep_what_was_left(tmp_path, holder):
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    number = os.getpid() if holder == "process" else thread.native_id
    start = files._start(os.getpid()) - 1
    left = tmp_path / f".scores.{files._machine()}.{number}-{start}.0123abcd.partial.json"
    left.touch()
    write_text(tmp_path / "scores.json", "mine")
    release.set()
    thread.join()
    assert not left.exists()


def test_where_starts_are_not_told_the_number_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_start", lambda process: files.UNKNOWN)
    path = tmp_path / "scores.json"
    with atomic_path(path) as temporary:
        temporary.write_text("first")
        write_text(path, "second")
        assert temporary.exists()
    assert path.read_text() == "first"


@pytest.mark.parametrize(("days", "left"), [(1, True), (30, False)])
def test_the_file_of_another_machine_is_left_alone_while_it_may_be_written(tmp_path, days, left):
    other = tmp_path / ".scores.another-node.1-1.0123abcd.partial.json"
    other.touch()
    os.utime(other, (time.time() - days * 24 * 3600,) * 2)
    write_text(tmp_path / "scores.json", "mine")
    assert other.exists() == left


def test_unfinished_files_of_longer_names_are_left_alone(tmp_path):
    machine = files._machine()
    other = tmp_path / f".scores.old.{machine}.99999999-1.0123abcd.partial.json"
    other.touch()
    write_text(tmp_path / "scores.json", "mine")
    assert other.exists()


def test_the_longest_names_that_a_disk_takes_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node." * 40)
    for stem in ("s" * 250, "ü" * 125):
        write_text(tmp_path / f"{stem}.json", "mine")
    assert len(list(tmp_path.iterdir())) == 2


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
