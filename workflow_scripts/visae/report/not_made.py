"""What a study does not compute and does not make, each with the reason."""

from typing import NamedTuple

from visae.evals.shelf import EVALS, entry_name
from visae.evals.shelf import title_of as title_of_eval
from visae.report.cells import in_order, title_of


class NotMade(NamedTuple):
    """A metric, a task, a table or a figure, and why there is none."""

    kind: str
    title: str
    shows: str
    reason: str


def absent_evals(study):
    """A `NotMade` for every metric and task that the study asks for and cannot compute."""
    return [
        NotMade(EVALS[entry_name(name)].kind, title_of_eval(name), "", reason)
        for name, reason in study.absent.items()
    ]


def products_not_made(reasons):
    """A `NotMade` for every table and figure; reasons: name → (kind, what it shows, why not)."""
    found = [
        (in_order(name, kind), NotMade(kind, title_of(name), shows, why))
        for name, (kind, shows, why) in reasons.items()
    ]
    return [item for _, item in sorted(found)]
