"""The map in docs/architecture.md is complete, and no module imports from below its line."""

import ast

import pytest
from study_fixtures import ROOT

LIBRARY = ROOT / "workflow_scripts/visae"
MAP = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("```")[1]


def line_of_each_room():
    """Module or package, as the map writes it → number of its line."""
    return {
        name.strip().removesuffix("/"): number
        for number, line in enumerate(MAP.strip().splitlines())
        for name in line.partition("  ")[0].split(",")
    }


ROOMS = line_of_each_room()


def room(parts):
    """The room of a dotted path below `visae`, split into `parts`: the most special one."""
    for length in range(len(parts), 0, -1):
        if "/".join(parts[:length]) in ROOMS:
            return "/".join(parts[:length])
    raise AssertionError(f"docs/architecture.md does not show {'/'.join(parts)}")


def imported(path):
    """Dotted paths below `visae` that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("visae."))
        elif isinstance(node, ast.ImportFrom) and node.module == "visae":
            yield from (f"visae.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("visae."):
            for alias in node.names:
                inner = LIBRARY / "/".join(node.module.split(".")[1:]) / f"{alias.name}.py"
                yield f"{node.module}.{alias.name}" if inner.exists() else node.module


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(LIBRARY.rglob("*.py")) if path != LIBRARY / "__init__.py"],
    ids=lambda path: str(path.relative_to(LIBRARY)),
)
def test_imports_go_up_the_map(path):
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    own = room([part for part in parts if part != "__init__"])
    below = [name for name in imported(path) if ROOMS[room(name.split(".")[1:])] > ROOMS[own]]
    assert not below, f"{own} imports {below}, which docs/architecture.md shows below it"


def test_every_room_exists():
    for name in ROOMS:
        assert (LIBRARY / name).is_dir() or (LIBRARY / f"{name}.py").exists(), name
