"""Paradigms of pretraining: a shelf of folders {entry.py, objective.py}.

`entry.py` has an `ENTRY`, a `Paradigm`; `objective.py` has the class that a backbone is trained by
as `OBJECTIVE` (a `visae.pretraining.training.Objective`), imported in the job that pretrains.
"""

from dataclasses import dataclass, field

from visae.base.shelf import ASIDE, Shelf

PARADIGMS = Shelf("visae.pretraining.paradigms", "paradigm of pretraining")


@dataclass(frozen=True)
class Paradigm:
    """What there is to say of a paradigm.

    label: its name. description: what it learns from, in one sentence. source: where it was
    published.
    """

    label: str = field(metadata=ASIDE)
    description: str = field(metadata=ASIDE)
    source: str = field(metadata=ASIDE)
