"""A shelf lists what stands in its package, and in folders beside it."""

import sys

import pytest

from visae.base.errors import UserError
from visae.base.shelf import Shelf


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package `stand` with an entry as a file, one as a folder and a helper; a shelf of it."""
    root = tmp_path / "stand"
    write(root / "__init__.py", "")
    write(root / "single.py", "\nENTRY = 'one file'\n\ndef load():\n    return 1\n")
    write(root / "folder" / "entry.py", "\nENTRY = 'a folder'\n")
    write(root / "folder" / "load.py", "def load():\n    return 2\n")
    write(root / "helper.py", "x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] == "stand"]:
        del sys.modules[name]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def shelf(package):
    return Shelf("stand", "thing")


def test_entries_are_files_and_folders(shelf):
    assert list(shelf) == ["folder", "single"]
    assert shelf.entries() == {"folder": "a folder", "single": "one file"}
    assert "helper" not in shelf
    assert [shelf.module(name, "load").load() for name in shelf] == [2, 1]


def test_listing_imports_nothing(shelf):
    shelf.names()
    assert not any(name.startswith("stand.") for name in sys.modules)


def test_unknown_names_are_refused_with_the_nearest(shelf):
    with pytest.raises(
        UserError, match=r"no thing 'singel' \(did you mean 'single'\?\): choose one of"
    ):
        shelf["singel"]
    with pytest.raises(UserError, match=r"'folder' lacks the module .*train\.py"):
        shelf.module("folder", "train")


def test_files_are_code_and_json(shelf, package):
    write(package / "folder" / "schema.json", "{}")
    write(package / "folder" / "notes.txt", "")
    assert [path.name for path in shelf.files("folder")] == ["entry.py", "load.py", "schema.json"]
    assert [path.name for path in shelf.files("single")] == ["single.py"]


def test_extensions_stand_beside_the_packages_own(shelf, tmp_path):
    own = tmp_path / "own"
    write(own / "mine" / "entry.py", "\nENTRY = 'mine'\n")
    write(own / "mine" / "help.py", "number = 3\n")
    write(own / "mine" / "load.py", "from stand.mine.help import number\n\nload = lambda: number\n")
    write(own / "alone.py", "\nENTRY = 'alone'\n\nload = lambda: 4\n")
    shelf.extend(own)
    shelf.extend(own)
    assert list(shelf) == ["folder", "single", "alone", "mine"]
    assert [shelf.module(name, "load").load() for name in shelf] == [2, 1, 4, 3]
    assert shelf["mine"] == "mine"
    assert [path.parent for path in shelf.files("mine")] == [own / "mine"] * 3


@pytest.mark.parametrize("name", ["single", "folder"])
def test_an_extension_does_not_take_the_place_of_another(shelf, tmp_path, name):
    write(tmp_path / "own" / f"{name}.py", "\nENTRY = 'other'\n")
    with pytest.raises(UserError, match="name of another thing"):
        shelf.extend(tmp_path / "own")


def test_an_extension_that_is_no_folder_is_refused(shelf, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        shelf.extend(tmp_path / "absent")
