"""The map in docs/architecture.md is complete, and no module imports from below its line."""

import re

import pytest
from architecture import LIBRARY, ROOMS, imported, modules, picture, room, room_of
from shelf_fixtures import shelves
from study_fixtures import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_go_up_the_map(path):
    own = room_of(path)
    below = [name for name in imported(path) if ROOMS[room(name.split(".")[1:])] > ROOMS[own]]
    assert not below, f"{own} imports {below}, which docs/architecture.md shows below it"


def test_every_package_is_a_line_of_the_map_and_there_are_no_loose_modules():
    inside = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert inside
    assert set(ROOMS) == inside
    assert [path.name for path in LIBRARY.glob("*.py")] == ["__init__.py"]


def test_the_picture_shows_todays_imports():
    drawn = (ROOT / "docs/images/architecture.svg").read_text("utf-8")
    assert drawn == picture(), "draw it again: see tests/workflow/architecture.py"


def test_the_table_of_shelves_lists_their_entries():
    rows = re.findall(r"^\| `([a-z_/]+)` \|[^|]+\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    there = {
        shelf.package[len("visae.") :].replace(".", "/"): shelf for shelf in shelves().values()
    }
    assert {name for name, *_ in rows} == set(there)
    for name, _, listed in rows:
        names = list(there[name])
        assert listed in (", ".join(names), f"{len(names)} tables and figures"), name


def test_the_walk_names_what_is_there():
    walk = PAGE.partition("## The walk")[2].partition("\n## ")[0]
    named = [
        (path, defined)
        for path, defined in re.findall(r"`([a-z]+/[\w/]+)(?:\.(\w+))?`", walk)
        if path.partition("/")[0] in ROOMS and defined not in ("json", "csv", "pdf")
    ]
    assert len(named) > 12
    for path, defined in named:
        home = LIBRARY / path
        files = sorted(home.glob("*.py")) if home.is_dir() else [home.with_suffix(".py")]
        assert files, path
        code = "".join(file.read_text("utf-8") for file in files)
        if defined:
            assert re.search(rf"^\s*(def|class) {defined}\b", code, re.MULTILINE), defined


def test_caches_are_opened_in_one_place():
    """What lies at a cache's path may be a view of another."""
    opening = {LIBRARY / "activations" / f"{name}.py" for name in ("cache", "permuted", "opening")}
    paths = {*LIBRARY.rglob("*.py"), *LIBRARY.parent.glob("*.py")} - opening
    naming = [path for path in paths if "ActivationCache" in path.read_text("utf-8")]
    assert len(paths) > 200
    assert not naming, "open it by visae.activations.opening.open_cache"


def test_paths_of_results_are_said_in_one_place():
    for path in sorted(ROOT.glob("rules/*.smk")):
        assert "<results>/" not in path.read_text("utf-8"), path
