"""Code hashes change exactly when code changes, at any depth of imports."""

import shutil
from dataclasses import dataclass, field

import pytest

from visae.base import fingerprints, syntax
from visae.base.shelf import ASIDE, Shelf

CLOSURE = (
    "draw.py",
    "visae/__init__.py",
    "visae/rooms/__init__.py",
    "visae/rooms/a.py",
    "visae/b.py",
)


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A copy of the layout: script → visae.rooms.a → visae.b; visae.c unused."""
    write_library(tmp_path / "here")
    monkeypatch.setattr(fingerprints, "SCRIPTS", tmp_path / "here")
    monkeypatch.setattr(syntax, "CACHE", tmp_path / "none" / "syntax.json")
    yield tmp_path / "here"
    forget()


def write_library(folder):
    (folder / "visae" / "rooms").mkdir(parents=True)
    (folder / "visae" / "__init__.py").write_text("")
    (folder / "visae" / "rooms" / "__init__.py").write_text("")
    (folder / "draw.py").write_text("from visae.rooms import a\n")
    (folder / "visae" / "rooms" / "a.py").write_text(
        "def f():\n    from visae.b import g\n    return g\n"
    )
    (folder / "visae" / "b.py").write_text("g = 1\n")
    (folder / "visae" / "c.py").write_text("h = 1\n")


def forget():
    fingerprints._module.cache_clear()
    fingerprints._files.cache_clear()
    syntax._known = None


def hash_of_a_new_plan():
    """The hash of `draw` as a new process computes it."""
    forget()
    return fingerprints.of_code("draw")


@pytest.mark.parametrize("file", CLOSURE)
def test_a_change_of_code_at_any_depth_changes_the_hash(scripts, file):
    before = hash_of_a_new_plan()
    (scripts / file).write_text((scripts / file).read_text() + "more = 1\n")
    assert hash_of_a_new_plan() != before


@pytest.mark.parametrize("file", CLOSURE)
def test_a_touch_a_comment_and_a_docstring_do_not(scripts, file):
    before = hash_of_a_new_plan()
    (scripts / file).touch()
    assert hash_of_a_new_plan() == before
    text = (scripts / file).read_text()
    text = text.replace("f():\n", 'f():\n    """Of g."""\n\n    # Why.\n')
    (scripts / file).write_text(f'"""What it is."""\n\n\n{text}\n# The end.\n"""Of the last."""\n')
    assert hash_of_a_new_plan() == before


def test_unrelated_changes_and_another_folder_do_not(scripts, tmp_path, monkeypatch):
    before = hash_of_a_new_plan()
    (scripts / "visae" / "c.py").write_text("h = 2\n")
    assert hash_of_a_new_plan() == before
    write_library(tmp_path / "there")
    monkeypatch.setattr(fingerprints, "SCRIPTS", tmp_path / "there")
    assert hash_of_a_new_plan() == before


def test_a_module_of_another_name_changes_the_hash(scripts):
    before = hash_of_a_new_plan()
    shutil.move(scripts / "visae" / "b.py", scripts / "visae" / "b2.py")
    source = scripts / "visae" / "rooms" / "a.py"
    source.write_text(source.read_text().replace("visae.b ", "visae.b2 "))
    assert hash_of_a_new_plan() != before


# ---------------------------------------------------------------- entries


@dataclass(frozen=True)
class Entry:
    """What an entry of the test's shelf says."""

    reads: tuple = ()
    nested: object = None
    label: str = field(metadata=ASIDE, default="")


@pytest.fixture
def extended(scripts, tmp_path):
    """A shelf with an entry outside of the library, which imports visae.b: its folder, the hash."""
    entry = tmp_path / "own" / "mine"
    entry.mkdir(parents=True)
    (entry / "entry.py").write_text("\nENTRY = Entry()\n")
    (entry / "compute.py").write_text("from visae import b\n")
    (entry / "schema.json").write_text("{}")

    def hashed():
        forget()
        shelf = Shelf("visae.evals", "metric")
        shelf._extensions = {"mine": entry}
        said = {"Entry": Entry}
        exec((entry / "entry.py").read_text(), said)
        shelf._entries = {"mine": said["ENTRY"]}
        return fingerprints.of_entry(shelf, "mine")

    return entry, hashed


@pytest.mark.parametrize("file", ["compute.py", "schema.json"])
def test_an_entry_is_all_that_its_files_say(extended, file):
    entry, hashed = extended
    before = hashed()
    (entry / file).touch()
    assert hashed() == before
    (entry / file).write_text((entry / file).read_text() + "\n1\n")
    assert hashed() != before


def test_an_entry_is_what_it_says_of_results(extended):
    entry, hashed = extended
    hashes = []
    for said in ("", "reads=('codes',)", "reads=('raw',)", "nested=Entry(('raw',))"):
        (entry / "entry.py").write_text(f"\nENTRY = Entry({said})\n")
        hashes.append(hashed())
    assert len(set(hashes)) == len(hashes)
    (entry / "entry.py").write_text(
        "\nWORDS = 'n'\n\nENTRY = Entry(nested=Entry(('raw',), label=WORDS), label='m')\n"
    )
    assert hashed() == hashes[-1]


def test_an_entry_is_what_it_imports_and_nothing_else(extended, scripts):
    _, hashed = extended
    before = hashed()
    (scripts / "visae" / "c.py").write_text("h = 2\n")
    assert hashed() == before
    (scripts / "visae" / "b.py").write_text("g = 2\n")
    assert hashed() != before


def closure(script):
    """The files that a script's hash is made of."""
    seen, waiting = set(), [script]
    while waiting:
        seen.add(path := waiting.pop())
        waiting += fingerprints._module(path)[1] - seen
    return seen


def test_no_hash_of_a_script_knows_an_entry_of_a_shelf():
    """Imported by name in the job, an entry is in no closure: of no script, and of no shelf."""
    folders = ("sae/families", "backbones/loaders", "images/layouts", "pretraining/paradigms")
    for script in fingerprints.SCRIPTS.glob("*.py"):
        entries = [
            path
            for path in closure(script)
            if "\nENTRY = " in path.read_text() or path.name == "entry.py"
        ]
        library = fingerprints.SCRIPTS / "visae"
        inside = [p for p in entries if str(p.relative_to(library)).startswith(folders)]
        assert not inside, script


def test_no_job_depends_on_what_stands_above_jobs():
    # `import visae` runs visae/__init__.py, which every script's hash has.
    for script in sorted(fingerprints.SCRIPTS.glob("*.py")):
        above = [p for p in closure(script) if p.parent.name in ("interface", "command")]
        assert not above, script.name


def test_every_script_of_the_workflow_has_a_hash():
    names = [path.stem for path in fingerprints.SCRIPTS.glob("*.py")]
    hashes = {fingerprints.of_code(name) for name in names}
    assert len(hashes) == len(names) > 10


def test_tensors_are_told_apart_by_name_shape_type_and_value():
    import torch

    base = torch.arange(6.0)
    variants = [
        [("a", base)],
        [("b", base)],
        [("a", base.reshape(2, 3))],
        [("a", base.double())],
        [("a", base + 1)],
    ]
    assert len({fingerprints.of_tensors(v) for v in variants}) == len(variants)
    pair = [("a", base), ("b", base + 1)]
    assert fingerprints.of_tensors(pair) == fingerprints.of_tensors(pair[::-1])
