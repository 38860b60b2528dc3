"""What claims are judged on: numbers by key, of a run or of the paper's print (`printed`).

Keys are paths. A backbone in them has the *paper's* name, so that one rule reads both. Examples:

    score/fvu/clip          mean over the SAEs of the main sweep
    rank/fvu/clip           of the backbone by that mean, 1 = best
    share/fvu/backbone      η² of a factor
    raw/dtd/clip            performance of raw features on a task
    codes/dtd/clip          performance of all codes
    probing/dtd/clip        ROC-AUC of 128 codes
    rho/fvu/dtd             ρ of the metric's ranks with raw performance on a task
    rho/fvu/probing_dtd     ρ of the metric's ranks with the ROC-AUC of 128 codes

A ρ is positive where the better backbones by the metric are better at the task. A number that is
unknown is absent. Ranks, shares, ρ and p are about the paper's five backbones: they are absent
unless all five have a value, because over fewer they are another quantity.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from visae.claims.numbers import run_numbers
from visae.study.roles import PAPER_METRICS, Roles
from visae.tables.downstream import read_downstream
from visae.tables.layout import read
from visae.tables.scores import HEADLINE, read_scores


class Reading(NamedTuple):
    """Another definition of a metric, which could be the paper's."""

    metric: str | None
    """None: of all in `PRINTED_AS_RUN`, their headlines."""
    words: str


AS_RUN = "as_run"
PRINTED_AS_RUN = ("fvu", "preservation", "sparse_probing")
"""Metrics whose printed numbers are the reading `as_run`, by the paper's public code and the runs
recorded in it (docs/as_run.md). The code of M5 to M7 there is older than what is printed."""

WRITTEN = "written"
OTHER_READINGS = {
    WRITTEN: Reading(None, "M2, M3 and M4 as the paper defines them"),
    "accuracy_at_128": Reading("sparse_probing", "M4 as top-1 accuracy at k = 128"),
    "accuracy_area": Reading("sparse_probing", "M4 as mean accuracy over log2 k"),
    "average_precision_at_128": Reading("sparse_probing", "M4 as average precision at k = 128"),
}
"""Reading in `scores.csv` → what it reads anew. The paper calls M4 an AUC and prints 0.418."""


@dataclass(frozen=True)
class Evidence:
    """Numbers by key."""

    values: dict
    rounding: dict = field(default_factory=dict)
    """How far rounding may have moved a printed number, by the same keys."""
    half_units: dict | None = None
    """Of print only: key of a published value → half a unit of its last decimal."""
    readings: dict = field(default_factory=dict)
    """Of a run: one of `OTHER_READINGS` → the Evidence with that metric read so."""

    @property
    def printed(self):
        return self.half_units is not None

    @property
    def as_run(self):
        """Whether some metrics are read as the printed numbers are, and not as their headlines."""
        return WRITTEN in self.readings

    @property
    def source(self):
        return "the paper's own printed numbers" if self.printed else "this run"


def read_run(inputs, settings):
    """Evidence from a run's files (`visae.products.sources.evidence` and `evidence_settings`).

    inputs: paths of the tidy tables `scores` and, if the study has tasks, `downstream`; of
    `table_4` as JSON. settings: `roles` (fields of `Roles`) and `seed`.
    """
    downstream = inputs.get("downstream")
    return from_run(
        read_scores(inputs["scores"]),
        Roles(**settings["roles"]),
        {row["backbone"]: row for row in read(inputs["table_4"]).rows},
        read_downstream(downstream) if downstream else None,
        settings["seed"],
    )


def from_run(rows, roles, raw_coherence=None, downstream=None, seed=42):
    """Evidence from a run, with M2 to M4 as the printed numbers have them, and with other readings.

    `rows` are those of `scores.csv`, `roles` say who stands for whom. `raw_coherence` maps
    a backbone to its row of Table 4, `downstream` are the rows of `downstream_table`; both may be
    absent.
    """
    rows = [row for row in rows if row["metric"] in PAPER_METRICS]
    own = {"raw_coherence": raw_coherence or {}, "downstream": downstream or [], "seed": seed}
    there = {(row["metric"], row["reading"]) for row in rows}
    as_run = rows
    for metric in PRINTED_AS_RUN:
        if (metric, AS_RUN) in there:
            as_run = _read_as(as_run, metric, AS_RUN)
    read_anew = {
        reading: _read_as(as_run, metric, reading)
        for reading, (metric, _) in OTHER_READINGS.items()
        if (metric, reading) in there
    }
    if as_run is not rows:
        read_anew = {WRITTEN: rows} | read_anew
    return Evidence(
        run_numbers(as_run, roles, **own),
        readings={
            reading: Evidence(run_numbers(changed, roles, **own))
            for reading, changed in read_anew.items()
        },
    )


def _read_as(rows, metric, reading):
    """`rows` in which the headline of `metric` is another of its readings."""
    headline, anew = (metric, HEADLINE), (metric, reading)
    (higher_is_better,) = {
        row["higher_is_better"] for row in rows if (row["metric"], row["reading"]) == headline
    }
    changed = {"reading": HEADLINE, "higher_is_better": higher_is_better}
    return [
        row | changed if (row["metric"], row["reading"]) == anew else row
        for row in rows
        if (row["metric"], row["reading"]) != headline
    ]
