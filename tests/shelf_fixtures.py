"""Every shelf of the library, found in its code."""

import functools
import re

from study_fixtures import ROOT

from visae.base.shelf import Shelf

SCRIPTS = ROOT / "workflow_scripts"
_MADE = re.compile(r'^\w+ = Shelf\("(visae\.[\w.]+)", "(.+)"\)$', re.MULTILINE)


@functools.cache
def shelves():
    """{the last part of the package's name: Shelf}"""
    code = "\n".join(path.read_text("utf-8") for path in sorted(SCRIPTS.rglob("*.py")))
    return {
        package.rpartition(".")[2]: Shelf(package, what) for package, what in _MADE.findall(code)
    }


def entries():
    """[(shelf's name, entry's name), …] of all shelves."""
    return [(name, entry) for name, shelf in shelves().items() for entry in shelf]
