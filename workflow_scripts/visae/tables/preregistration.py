"""The predictions that a file in the paper's public code fixed in advance, on print and on a run.

The file (docs/as_run.md) is older than the paper, has other thresholds for two of the hypotheses,
and predicts two things more: the sign of four correlations, and an order of backbones.
"""

from typing import NamedTuple

from visae.base import equal
from visae.tables.layout import Column, Table

HELD, FAILED, UNKNOWN = "held", "failed", "not computable"


class Prediction(NamedTuple):
    """ρ of a metric with a task, above a bound."""

    name: str
    words: str
    above: float
    """In the file: ρ lies above it."""
    remark: str
    printed: str
    """Key of the printed ρ."""


CORRELATIONS = (
    Prediction("H1", "M1 foresees segmentation", 0.7, "", "localization/segmentation"),
    Prediction("H2", "M5 foresees accuracy on CUB-200", 0.5, "", "monosemanticity/cub200"),
    Prediction("H3", "M3 foresees retrieval", 0.5, "", "preservation/retrieval"),
    Prediction(
        "H4",
        "M4 foresees sparse probing on iNaturalist",
        0.0,
        "called a near tautology there",
        "sparse_probing/probing_inaturalist",
    ),
)
LIFT_TASKS = ("retrieval", "cub200", "dtd", "segmentation")
SEGMENTATION_ORDER = ("dinov2", "deit", "clip", "siglip", "mae")
"""Best first."""


def preregistration(published, hypotheses, lifts, segmentation):
    """One row per prediction: the file's bound, the paper's, what is printed, what the run has.

    published: from `read_published`. hypotheses: rows of the table of that name. lifts: task of
    `LIFT_TASKS` → the run's ρ of raw value and lift. segmentation: the paper's backbone → mIoU of
    the run's raw features. What a run lacks is absent or None.
    """
    of_run = {row["name"]: row["rho"] for row in hypotheses}
    lines = []
    for each in CORRELATIONS:
        own = published[f"text/hypothesis/{each.name.lower()}/threshold"].value
        printed, found = published[f"text/spearman/{each.printed}"].value, of_run.get(each.name)
        lines.append(
            _line(each.name, each.words, f"ρ above {each.above:g}", f"ρ ≥ {own:g}", each.remark)
            | {
                "printed": f"{printed:.2f}",
                "in_print": _verdict(
                    printed, lambda rho, bound=each.above: equal.above(rho, bound)
                ),
                "run": None if found is None else f"{found:.2f}",
                "in_run": _verdict(found, lambda rho, bound=each.above: equal.above(rho, bound)),
                "in_run_by_paper": _verdict(found, lambda rho, own=own: equal.at_least(rho, own)),
            }
        )
    printed = [published[f"table_8/{task}/rho"].value for task in LIFT_TASKS]
    found = [lifts.get(task) for task in LIFT_TASKS]
    lines.append(
        _line("5", "codes gain less where raw features do better", "ρ below 0 on 4 of 4", None)
        | _sides(_negative(printed), _negative(found), lambda negative: negative == 4)
    )
    told = {
        backbone: published[key].value
        for backbone in SEGMENTATION_ORDER
        if (key := f"text/raw/segmentation/{backbone}") in published
    }
    remark = "print has the first two"
    lines.append(
        _line("6", "order on segmentation", ", ".join(SEGMENTATION_ORDER), None, remark)
        | _sides(
            _order(told),
            _order(segmentation) if set(segmentation) == set(SEGMENTATION_ORDER) else None,
            lambda order: ", ".join(SEGMENTATION_ORDER).startswith(order),
        )
    )
    return Table(
        "Predictions fixed in advance",
        (
            Column("name", "Prediction"),
            Column("prediction", "Says"),
            Column("file", "File"),
            Column("paper", "Paper"),
            Column("printed", "Printed"),
            Column("in_print", "In print"),
            Column("run", "Run"),
            Column("in_run", "In the run"),
            Column("in_run_by_paper", "By the paper's bound"),
            Column("remark", "Remark"),
        ),
        lines,
        (
            "File: docs/pre_registration.md in the paper's public code, of 2026-04-29, with the "
            "paper's numbers of metrics. In print, in the run: by the file's bound. ρ over the "
            "backbones' means; the run's M4 is the ROC-AUC, as the hypothesis is stated.",
        ),
    )


def _line(name, prediction, file, paper, remark=""):
    said = {"name": name, "prediction": prediction, "file": file, "paper": paper}
    return said | {"remark": remark or None, "in_run_by_paper": None}


def _sides(printed, run, holds):
    return {
        "printed": None if printed is None else str(printed),
        "in_print": _verdict(printed, holds),
        "run": None if run is None else str(run),
        "in_run": _verdict(run, holds),
    }


def _negative(rhos):
    """How many are below 0; None if one is not known."""
    return None if None in rhos else sum(equal.above(0, rho) for rho in rhos)


def _verdict(found, holds):
    if found is None:
        return UNKNOWN
    return HELD if holds(found) else FAILED


def _order(scores):
    """Names by falling score; equal ones joined by `=`."""
    return ", ".join(map(equal.named, equal.ranked(scores)))
