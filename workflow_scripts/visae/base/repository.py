"""Where the files lie that the repository ships beside the library."""

from pathlib import Path

from visae.base.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[2]
ROOT = SCRIPTS.parent
RESOURCES = ROOT / "resources"
SCHEMAS = ROOT / "rules" / "schemas"

if not (RESOURCES.is_dir() and SCHEMAS.is_dir()):
    raise UserError(
        f"visae reads resources/ and rules/schemas/ beside the library, which {ROOT} lacks: "
        "install it from a clone of the repository with `pip install -e .`"
    )
