"""What a file says is read once, and kept for the next process where that is possible."""

import os
import shutil
import subprocess
import sys

import pytest

from visae.base import syntax

CODE = '''"""A module."""

import os, visae.a
from visae.b import (
    c,  # why
    d,
)

class Thing:
    """A thing."""

    size: int = 1
    """Of a thing, in bytes."""

    def f(self, x=None):
        """Documented."""
        from visae import e
        return "kept", b"kept", f"{x}", 1.0, ...
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.py"
    path.write_text(CODE)
    yield path
    syntax._known = None


def read(path):
    syntax._known = None
    return syntax.read(path)


def test_imports_are_found_at_any_depth(file):
    assert read(file)[1] == [
        *("visae", "visae.a", "visae.b", "visae.b.c", "visae.b.d", "visae.e"),
    ]


@pytest.mark.parametrize(
    "old, new, same",
    [
        ("# why", "# for another reason", True),
        ('"""A module."""\n', "", True),
        ('"""Of a thing, in bytes."""', '"""Of it."""', True),
        ('        """Documented."""\n', "", True),
        ("    c,  # why\n    d,\n", "c, d", True),
        ("1.0", "1", False),
        ('"kept", b', '"lost", b', False),
        ("size: int = 1", "size: int = 2", False),
        ("    size: int", "    width: int", False),
        ("x=None", "x=False", False),
        ("import os, ", "import ", False),
    ],
)
def test_the_digest_is_that_of_the_code(file, old, new, same):
    before = read(file)[0]
    assert old in CODE
    file.write_text(CODE.replace(old, new))
    assert (read(file)[0] == before) == same


def in_a_process(path):
    """What a process of its own reads, and whether it parsed the file."""
    program = (
        "import ast, sys; from visae.base import syntax\n"
        "parsed = []; parse = ast.parse\n"
        "ast.parse = lambda *a, **k: parsed.append(1) or parse(*a, **k)\n"
        "print(syntax.read(sys.argv[1]), len(parsed))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = [sys.executable, "-c", program, str(path)]
    result = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    said, _, parsed = result.stdout.strip().rpartition(" ")
    return said, int(parsed)


def test_what_was_read_is_kept_for_the_next_process(file, tmp_path):
    (tmp_path / ".snakemake").mkdir()
    first = in_a_process(file)
    assert first[1] == 1
    assert in_a_process(file) == (first[0], 0)
    file.write_text(CODE + "more = 1\n")
    changed = in_a_process(file)
    assert changed[0] != first[0]
    assert changed[1] == 1
    assert in_a_process(file) == (changed[0], 0)


def test_a_copy_takes_along_what_was_read(file, tmp_path):
    (tmp_path / ".snakemake").mkdir()
    first = in_a_process(file)
    copy = tmp_path / "copy" / "other.py"
    copy.parent.mkdir()
    shutil.copy(file, copy)
    os.utime(copy, (0, 0))
    assert in_a_process(copy) == (first[0], 0)


def test_a_change_that_leaves_size_and_time_is_seen(file, tmp_path):
    """As in images of containers, in which all files may have one time."""
    (tmp_path / ".snakemake").mkdir()
    os.utime(file, (1, 1))
    first = in_a_process(file)
    file.write_text(CODE.replace("size: int = 1", "size: int = 2"))
    os.utime(file, (1, 1))
    changed = in_a_process(file)
    assert changed[0] != first[0]
    assert changed[1] == 1


def test_what_is_of_no_file_any_more_is_dropped_where_it_is_much(file, tmp_path, monkeypatch):
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.setattr(syntax, "LARGEST", 2)
    monkeypatch.setattr(syntax, "_asked", set())
    sizes = []
    for number in range(4):
        file.write_text(f"{CODE}\nnumber = {number}\n")
        read(file)
        syntax._asked.clear()
        read(file)
        syntax._keep(syntax._known, 0)
        sizes.append(len((tmp_path / syntax.CACHE).read_text().split("visae.b.c")) - 1)
    assert sizes == [1, 2, 1, 2]


@pytest.mark.parametrize("damage", [lambda t: "", lambda t: t[:-9], lambda t: t.replace("a", "b")])
def test_a_damaged_cache_is_ignored_and_replaced(file, tmp_path, damage):
    (tmp_path / ".snakemake").mkdir()
    whole = in_a_process(file)[0]
    cache = tmp_path / syntax.CACHE
    cache.write_text(damage(cache.read_text()))
    assert in_a_process(file) == (whole, 1)
    assert in_a_process(file) == (whole, 0)


def test_without_a_place_for_it_nothing_is_kept(file, tmp_path):
    assert in_a_process(file)[1] == 1
    assert not (tmp_path / ".snakemake").exists()
    (tmp_path / ".snakemake").write_text("no folder")
    assert in_a_process(file)[1] == 1


def test_where_the_cache_cannot_be_written_the_process_ends_well(file, tmp_path):
    (tmp_path / syntax.CACHE).mkdir(parents=True)
    assert in_a_process(file)[1] == 1
