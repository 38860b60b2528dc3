"""Where the files lie that the repository ships beside the library."""

import os
from pathlib import Path

from visae.base.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[2]
ROOT = SCRIPTS.parent
RESOURCES = ROOT / "resources"
SCHEMAS = ROOT / "rules" / "schemas"
PROFILES = ROOT / "profiles"

if not (RESOURCES.is_dir() and SCHEMAS.is_dir()):
    raise UserError(
        f"visae reads resources/ and rules/schemas/ beside the library, which {ROOT} lacks: "
        "install it from a clone of the repository with `pip install -e .`"
    )


def prepare_jobs():
    """Let processes that this one starts import this repository's library first, and write UTF-8.

    Snakemake puts a script's folder at the end of the path, where an installed clone precedes it.
    The locale of a node may be another one than that of its user.
    """
    os.environ["PYTHONUTF8"] = "1"
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SCRIPTS), others]))
