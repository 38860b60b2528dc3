"""Where the files lie that the repository ships beside the library."""

from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]
ROOT = SCRIPTS.parent
RESOURCES = ROOT / "resources"
SCHEMAS = ROOT / "rules" / "schemas"
