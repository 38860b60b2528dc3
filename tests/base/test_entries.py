"""What holds of every entry of every shelf: it is light, says what it is, and has all its parts."""

import ast
import dataclasses
import os
import subprocess
import sys

import pytest
from shelf_fixtures import SCRIPTS, entries, shelves

# Shelf → (module of an entry's folder, what it has to define): what the jobs load by name.
PARTS = {
    "families": ("trainer", "TRAINER"),
    "loaders": ("load", "load"),
    "layouts": ("read", "read"),
    "paradigms": ("objective", "OBJECTIVE"),
    "libraries": ("read", "read"),
    "evals": ("compute", "compute"),
    "products": ("make", "make"),
}
# How an entry says what it is.
WORDS = ("label", "shows", "description", "definition", "source")

HEAVY = {"numpy", "torch", "pandas", "pyarrow", "PIL", "matplotlib", "timm", "transformers"}


def test_every_shelf_has_entries_and_a_checked_part():
    assert set(shelves()) <= set(PARTS)
    assert {"families", "loaders", "layouts", "paradigms"} <= set(shelves())
    assert all(len(list(shelf)) > 1 for shelf in shelves().values())


@pytest.mark.parametrize("shelf", shelves())
def test_entries_import_nothing_heavy(shelf):
    package = shelves()[shelf].package
    program = (
        f"import sys; from visae.base.shelf import Shelf; Shelf({package!r}, 'entry').entries()\n"
        f"print(*({HEAVY!r} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    run = [sys.executable, "-c", program]
    result = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("shelf, name", entries())
def test_an_entry_says_what_it_is(shelf, name):
    stand = shelves()[shelf]
    entry = stand[name]
    assert dataclasses.is_dataclass(entry)
    assert type(entry).__dataclass_params__.frozen
    texts = {word: getattr(entry, word) for word in WORDS if hasattr(entry, word)}
    assert {"label", "shows"} & set(texts)
    assert all(text.strip() for text in texts.values())
    for other in set(stand) - {name}:
        assert getattr(stand[other], "label", "") != texts.get("label"), other
    if "description" in texts:
        assert texts["description"][0].isupper()
        assert texts["description"].endswith(".")


@pytest.mark.parametrize("shelf, name", entries())
def test_an_entry_has_the_part_that_its_jobs_load(shelf, name):
    part, defined = PARTS[shelf]
    files = shelves()[shelf].files(name)
    [file] = files if len(files) == 1 else [f for f in files if f.name == f"{part}.py"]
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        names |= {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
        names |= {t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)}
    assert defined in names


@pytest.mark.parametrize("shelf, name", entries())
def test_an_entrys_module_says_in_one_line_what_it_is(shelf, name):
    for file in shelves()[shelf].files(name):
        if file.suffix == ".py" and file.name != "__init__.py":
            assert ast.get_docstring(ast.parse(file.read_text("utf-8"))).strip()
