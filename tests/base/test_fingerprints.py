"""Code hashes change exactly when code changes, at any depth of imports."""

import ast

import pytest

from visae.base import fingerprints


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A copy of the layout: script → visae.a → visae.b; visae.c unused."""
    package = tmp_path / "visae"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / "draw.py").write_text("from visae import a\n")
    (package / "a.py").write_text("def f():\n    from visae.b import g\n    return g\n")
    (package / "b.py").write_text("g = 1\n")
    (package / "c.py").write_text("h = 1\n")
    monkeypatch.setattr(fingerprints, "SCRIPTS", tmp_path)
    yield tmp_path
    fingerprints._module.cache_clear()


def hash_of_a_new_plan():
    """The hash of `draw` as a new process computes it."""
    fingerprints._module.cache_clear()
    return fingerprints.of_code("draw")


def test_change_in_an_indirect_import_changes_the_hash(scripts):
    before = hash_of_a_new_plan()
    (scripts / "visae" / "b.py").write_text("g = 2\n")
    assert hash_of_a_new_plan() != before


def test_touch_and_unrelated_changes_do_not(scripts):
    before = hash_of_a_new_plan()
    (scripts / "draw.py").touch()
    (scripts / "visae" / "c.py").write_text("h = 2\n")
    assert hash_of_a_new_plan() == before


def test_imports_found_by_pattern_are_those_of_the_parsed_files():
    def parsed(path):
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.update({node.module, *(f"{node.module}.{a.name}" for a in node.names)})
        bases = [
            fingerprints.SCRIPTS.joinpath(*name.split("."))
            for name in names
            if name.startswith("visae")
        ]
        places = [place for b in bases for place in (b.with_suffix(".py"), b / "__init__.py")]
        return {place for place in places if place.is_file()}

    paths = list(fingerprints.SCRIPTS.rglob("*.py"))
    assert len(paths) > 100
    for path in paths:
        assert set(fingerprints._module(path)[1]) == parsed(path), path


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
