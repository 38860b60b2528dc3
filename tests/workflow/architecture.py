"""The map of docs/architecture.md, the imports that there are, and the picture of both.

python tests/workflow/architecture.py > docs/images/architecture.svg
python tests/workflow/architecture.py sizes [folder of a clone]
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow_scripts/visae"
MAP = (ROOT / "docs/architecture.md").read_text("utf-8").split("```text\n")[1].split("```")[0]

# Size of a cell of the picture, and where its first cell lies.
CELL, LEFT, TOP = 17, 92, 92


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


def room_of(path):
    """The room of a file of the library."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return room([part for part in parts if part != "__init__"])


def modules():
    """All files of the library in a room."""
    return [path for path in sorted(LIBRARY.rglob("*.py")) if path != LIBRARY / "__init__.py"]


def arrows():
    """(importing, imported) of rooms → whether any module has such an import."""
    found = {
        (room_of(path), room(name.split(".")[1:])) for path in modules() for name in imported(path)
    }
    return sorted(arrow for arrow in found if arrow[0] != arrow[1])


def picture():
    """SVG: a row and a column per room, a dot where the row's room imports the column's."""
    names = list(ROOMS)
    side = CELL * len(names)
    width, height = LEFT + side + 6, TOP + side + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="#1a1a1a">',
        "<title>Which package of visae imports which</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, name in enumerate(names):
        near, middle = CELL * number, CELL * number + CELL / 2
        if number % 2 == 0:
            lines.append(
                f'<rect x="2" y="{TOP + near}" width="{width - 4}" height="{CELL}" fill="#f1f4f8"/>'
            )
        lines.append(f'<text x="6" y="{TOP + middle + 4.5}">{name}</text>')
        x, y = LEFT + middle + 4.5, TOP - 6
        lines.append(f'<text x="{x}" y="{y}" transform="rotate(-90 {x} {y})">{name}</text>')
        lines.append(
            f'<rect x="{LEFT + near + 1}" y="{TOP + near + 1}" width="{CELL - 2}" '
            f'height="{CELL - 2}" fill="#c9d3df"/>'
        )
    for importing, used in arrows():
        x = LEFT + CELL * names.index(used) + CELL / 2
        y = TOP + CELL * names.index(importing) + CELL / 2
        lines.append(f'<circle cx="{x}" cy="{y}" r="5.5" fill="#0b5cad"/>')
    lines += [
        f'<text x="6" y="{TOP + side + 22}">A dot: the row imports the column.</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def sizes(root):
    """{what: number} of the clone in `root`, whichever its version."""
    rules = sorted(root.glob("rules/*.smk"))
    scripts = sorted(root.glob("workflow_scripts/*.py"))
    loose = {p.name for p in root.glob("workflow_scripts/visae/*.py")} - {"__init__.py"}
    classes = [
        (node.end_lineno - node.lineno + 1, node.name, _methods(node))
        for path in sorted(root.glob("workflow_scripts/**/*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    lines, largest, methods = max(classes)
    return {
        "lines of rules": sum(map(_lines, rules)),
        "lines of rules/common.smk": _lines(root / "rules/common.smk"),
        "scripts": len(scripts),
        "lines of scripts": sum(map(_lines, scripts)),
        "loose modules": len(loose),
        "largest class": f"{largest}: {lines} lines, {methods} methods",
    }


def _lines(path):
    return len(path.read_text("utf-8").splitlines())


def _methods(node):
    return sum(isinstance(inner, ast.FunctionDef) for inner in node.body)


if __name__ == "__main__":
    if sys.argv[1:2] == ["sizes"]:
        for what, number in sizes(Path(*sys.argv[2:3] or [ROOT])).items():
            print(f"{what}: {number}")
    else:
        print(picture(), end="")
