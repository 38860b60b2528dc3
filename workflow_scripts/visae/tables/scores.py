"""The tidy table of all scores, `tables/scores.csv`: joined from the sweeps' tables, and read."""

import os
from pathlib import Path

from visae.base.seals import made_of, read_document, write_document
from visae.evals.provenance import common_origin
from visae.evals.shelf import lower_is_better
from visae.tables import tidy
from visae.tables.tidy import HEADLINE

ORIGIN_FORMAT = "visae-origin-1"


def scores_table(score_files, absent=()):
    """The tidy table of score files; absent: rows of what was not computed (`tidy.absent_rows`)."""
    return tidy.scores_table([*tidy.rows_of(score_files), *absent])


def joined(tables):
    """The tidy table of all rows of some `tables/scores/{sweep}.csv`, in the same order."""
    return tidy.scores_table(read_scores(tables))


def read_scores(paths):
    """The rows of a `tables/scores.csv`, or of several sweeps' tables, equal to what was written.

    Raises UserError where the scores of the sweeps cannot be compared (`common_origin`).
    """
    if not isinstance(paths, str | os.PathLike) and len(paths) > 1:
        origin_of_sweeps(paths)
    return tidy.read_rows(paths)


def origin_of_sweeps(tables):
    """What the scores of some `tables/scores/{sweep}.csv` have in common, from beside them."""
    return common_origin({f"the sweep {Path(path).stem}": read_origin_of(path) for path in tables})


def write_origin(path, origin, inputs=()):
    """Write `scores/{sweep}.origin.json`; inputs: the scores."""
    write_document(path, ORIGIN_FORMAT, origin, made_of(path, inputs))


def read_origin_of(table):
    """The origin of the scores in a `scores/{sweep}.csv`, from beside it."""
    return read_document(Path(table).with_suffix(".origin.json"), ORIGIN_FORMAT)


def low_is_good(metrics):
    """`fvu, absorption`: those of `metrics` of which low values are good, or `none`."""
    return ", ".join(filter(lower_is_better, metrics)) or "none"


def unscored(scores):
    """Why none of some headline rows has a value, if that is one reason; else None."""
    reasons = {score["reason"] for score in scores}  # None where there is a value
    return reasons.pop() if len(reasons) == 1 else None


def headlines(rows, metric, sweep, without=()):
    """The headline rows of one metric in one sweep, but for the backbones in `without`."""
    return [
        row
        for row in rows
        if row["metric"] == metric
        and row["sweep"] == sweep
        and row["reading"] == HEADLINE
        and row["backbone"] not in without
    ]
