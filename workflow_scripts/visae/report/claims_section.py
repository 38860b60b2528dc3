"""The claims of the paper as judged on the run, and the paper's own contradictions."""

import re
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

from visae.claims.verdicts import DIFFERS, NOT_COMPUTABLE, READ_AS, REPRODUCED, read_claims
from visae.tables.layout import read

VERDICTS = (REPRODUCED, DIFFERS, NOT_COMPUTABLE)


class ClaimsView(NamedTuple):
    """Rows of the table of claims with `second_reading`, and the number of each verdict."""

    rows: list
    counts: dict
    notes: list
    """Sentences on how the run was read, in HTML."""


class Contradictions(NamedTuple):
    """One section of `docs/inconsistencies.md`: its heading and its table."""

    heading: str
    columns: list
    rows: list


def read_verdicts(table_path, claims_path):
    """The judged claims in the paper's order; second readings of a claim are not counted."""
    second = {claim.id for claim in read_claims(claims_path) if claim.variant}
    table = read(table_path)
    rows = [
        row | {"second_reading": row["id"] in second or READ_AS in row["id"]} for row in table.rows
    ]
    counts = {
        verdict: sum(row["verdict"] == verdict and not row["second_reading"] for row in rows)
        for verdict in VERDICTS
    }
    return ClaimsView(rows, counts, [_inline(note) for note in table.notes[1:]])


def read_contradictions(path):
    """The sections of `docs/inconsistencies.md` that hold a table."""
    sections = []
    for part in re.split(r"^## ", Path(path).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, *lines = part.splitlines()
        rows = [_inline_cells(line) for line in lines if line.startswith("|")]
        if rows:
            sections.append(Contradictions(heading, rows[0], rows[2:]))
    return sections


def _inline_cells(line):
    return [_inline(cell.strip()) for cell in line.strip("| ").split(" | ")]


def _inline(text):
    """Markdown's code, emphasis and links as HTML; links lose their target, which is a file."""
    safe = str(escape(text))
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", safe))
