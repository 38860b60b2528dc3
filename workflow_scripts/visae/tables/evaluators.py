"""Table 5 and what it hides: M5 of every backbone in the space of every evaluator.

The paper scores CLIP's and SigLIP's SAEs in DINOv2's embedding space and the others in CLIP's
(Table 5, Appendix K). So a difference between backbones may be one between evaluators.
"""

import statistics

from visae.tables.layout import Column, Table
from visae.tables.scores import HEADLINE

_ELSEWHERE = "normalised_in_"


def table_5(evaluators):
    """Which backbone's space scores whose SAEs: {label of a backbone: its
    evaluator's, or None where M5 is not scored}."""
    return Table(
        "Table 5: embedding space in which M5 is scored",
        (Column("backbone", "SAE's backbone"), Column("evaluator", "evaluator")),
        [
            {"backbone": backbone, "evaluator": evaluator}
            for backbone, evaluator in evaluators.items()
        ],
    )


def monosemanticity_by_evaluator(rows, sweep, evaluators):
    """M5 averaged over the SAEs of each backbone in one sweep, in each evaluator's space.

    `evaluators` maps a backbone to its evaluator in Table 5. One row per backbone and space:
    `mean`, `saes`, and `paired` (whether it is the evaluator of Table 5).
    """
    values = {}
    for row in rows:
        if row["metric"] != "monosemanticity" or row["sweep"] != sweep or row["value"] is None:
            continue
        backbone, reading = row["backbone"], row["reading"]
        if reading == HEADLINE:
            values.setdefault((backbone, evaluators[backbone]), []).append(row["value"])
        elif reading.startswith(_ELSEWHERE):
            space = reading.removeprefix(_ELSEWHERE)
            values.setdefault((backbone, space), []).append(row["value"])
    spaces = sorted({space for _, space in values})
    lines = [
        {
            "backbone": backbone,
            "evaluator": space,
            "mean": statistics.fmean(scores) if (scores := values.get((backbone, space))) else None,
            "saes": len(scores or ()),
            "paired": evaluators[backbone] == space,
        }
        for backbone in evaluators
        for space in spaces
    ]
    return Table(
        f"M5 in the space of each evaluator, sweep {sweep}",
        (
            Column("backbone", "Backbone"),
            Column("evaluator", "Evaluator"),
            Column("mean", "M5", digits=3),
            Column("saes", "SAEs"),
            Column("paired", "as in Table 5"),
        ),
        lines,
        ("Normalised M5, mean over SAEs; compare backbones within one evaluator.",),
    )
