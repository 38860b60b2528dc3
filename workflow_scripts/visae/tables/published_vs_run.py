"""Every number that the paper prints, and those of recorded runs, beside the run's."""

import math

from visae.tables.layout import Column, Table


def published_vs_run(published, run, readings=None):
    """One row per printed number, in the order of print, by the definition that print has.

    published: from `read_published`, `read_recorded`, or both. run: {key: number}, without what
    the run lacks. readings: {another reading of a metric: the same with that reading}; a row is
    added for each by which the run's number is another.
    """
    lines = []
    for key, entry in published.items():
        numbers = {None: run.get(key)}
        for reading, others in (readings or {}).items():
            if key in others and _differ(others[key], numbers[None]):
                numbers[reading] = others[key]
        for reading, number in numbers.items():
            lines.append(
                {
                    "key": key,
                    "source": entry.source,
                    "place": entry.place.replace("§", "Sec. "),
                    "published": entry.value,
                    "unit": entry.unit,
                    "reading": reading,
                    "run": number,
                    "difference": None if number is None else number - entry.value,
                }
            )
    return Table(
        "Published values beside this run's",
        (
            Column("key", "Key"),
            Column("source", "Source"),
            Column("place", "Place"),
            Column("published", "Published", digits=4),
            Column("unit", "Unit"),
            Column("reading", "Reading"),
            Column("run", "Run", digits=4),
            Column("difference", "Difference", digits=4),
        ),
        lines,
        (
            "Backbones of the run stand for the paper's of the same paradigm, data sets for those "
            "of the same layout. Source: print, or runs recorded in the paper's public code, which "
            "stand beside the same SAE. Without a reading: by the definition that the number has "
            "(of M2, M3 and M4 the reading `as_run`). Reading: by another one; `written`: as "
            "the paper defines M2, M3 and M4. Difference: run − published. No run: the run lacks "
            "it, or it is no result (thresholds, counts of cells).",
        ),
    )


def _differ(number, other):
    """By more than the order in which sums are taken."""
    return other is None or not math.isclose(number, other, rel_tol=1e-9, abs_tol=1e-9)
