"""What edits changed, as a file: see docs/formats.md. Products read it: nothing heavy here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from visae.base.reading import as_number, as_text, as_whole, guarded
from visae.base.seals import made_of, read_document, write_document
from visae.interventions.settings import EDITS, HEADS

FORMAT = "visae-interventions-1"


def rows_of(measured, head, edits, strengths, classes) -> list[dict[str, Any]]:
    """A row for each edit and strength of one head.

    measured: a `measuring.Measured`. edits: its `Candidate`s. classes: their names.
    """
    rows = []
    for number, one in enumerate(edits):
        label = one.chosen.label
        target, before = measured.target[label], measured.before.get((head, label), 0.0)
        for strength in strengths:
            outcome = measured.outcomes[head, number, strength]
            rows.append(
                {
                    "class": classes[label],
                    "feature": one.chosen.feature,
                    "correlation": one.chosen.correlation,
                    "chosen": one.chosen.how,
                    "edit": one.kind,
                    "seed": one.seed,
                    "strength": strength,
                    "target": target,
                    "target_changed": outcome.target_changed,
                    "other": measured.labelled - target,
                    "other_changed": outcome.other_changed,
                    "probability_before": before / target if target else None,
                    "probability_after": outcome.probability / target if target else None,
                }
            )
    return rows


def write_outcomes(
    path: str | Path, about: dict, tasks: list[dict], inputs: Iterable[str | Path] = ()
) -> None:
    """Write what was measured of an SAE.

    about: `backbone`, `layer`, `sae`, `blocks_left`, `patches` (how many of an image are edited).
    tasks: one for each data set and head. inputs: the files that it was made of.
    """
    write_document(path, FORMAT, about | {"tasks": tasks}, made_of(path, inputs))


def read_outcomes(path: str | Path) -> dict[str, Any]:
    """What `write_outcomes` wrote; UserError where it is damaged, or not this file."""
    found = read_document(path, FORMAT)
    with guarded(path, "outcomes of interventions"):
        for key in ("backbone", "sae"):
            as_text(found[key])
        for key in ("layer", "blocks_left", "patches"):
            as_whole(found[key])
        for task in found["tasks"]:
            _check_task(task)
    return found


def _check_task(task):
    as_text(task["dataset"])
    as_number(task["accuracy"])
    if HEADS[task["head"]] != task["kind"]:
        raise ValueError(f"the head {task['head']} is not one of {task['kind']}")
    for row in task["rows"]:
        if row["edit"] not in EDITS or row["chosen"] not in ("rule", "named"):
            raise ValueError(f"an edit is {row['edit']!r}, chosen by {row['chosen']!r}")
        for key in ("strength", "correlation"):
            as_number(row[key])
        for key in ("feature", "seed"):
            as_whole(row[key])
        for key in ("target", "other"):
            if as_whole(row[f"{key}_changed"]) > as_whole(row[key]):
                raise ValueError(f"more of {key} have changed than there are")
        for key in ("probability_before", "probability_after"):
            if (row[key] is None) != (row["target"] == 0):
                raise ValueError(f"{key} is {row[key]} of {row['target']} units")
            if row[key] is not None and not -1e-6 <= as_number(row[key]) <= 1 + 1e-6:
                raise ValueError(f"{key} is {row[key]}")
