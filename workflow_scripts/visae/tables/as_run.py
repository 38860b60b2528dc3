"""What the settings of the paper's public code change, one at a time: metrics, rankings, η².

A setting is switched in one of two ways. An *arm* is the study run again with another config, whose
SAEs are set beside the study's of the same name. A *switch* of a metric's entry is another reading
of the same SAE, and costs nothing (docs/as_run.md).
"""

import itertools
import statistics as basic
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from visae.evals.shelf import EVALS, metrics
from visae.sae.folder import read_log
from visae.tables.layout import Column, Table
from visae.tables.scores import HEADLINE, read_scores
from visae.tables.statistics import eta_squared, spearman
from visae.tables.variance import variance_cells

ARM, READING = "arm", "reading"
"""How a setting is switched: the study is run again, or its scores are read otherwise."""

CLIPPED = "clipped_fraction"
"""Share of the steps on which an SAE's gradient was clipped, by its training's log."""

BESIDE = (("fvu", "mean_l0"), ("fvu", "dead_fraction"), ("", CLIPPED))
"""What is followed through the arms besides the metrics: (metric, reading)."""


_NUMBERS = ("before", "after", "change", "low", "high", "range", "rho", "eta2_before", "eta2_after")


class Run(NamedTuple):
    """What a study, or an arm of it, tells of the SAEs of its main sweep."""

    saes: dict
    """(backbone, name) → a row of its scores, for its place in the grid."""
    readings: dict
    """(backbone, name) → metric → {reading: value}."""


def read_run(scores, saes: Iterable[str | Path], sweep) -> Run:
    """The Run of a `tables/scores/{sweep}.csv`, and of SAEs' weights, with the logs beside them."""
    run = Run({}, {})
    for row in read_scores(scores):
        if row["sweep"] == sweep:
            sae = row["backbone"], row["sae"]
            run.saes[sae] = row
            of_metric = run.readings.setdefault(sae, {}).setdefault(row["metric"], {})
            of_metric[row["reading"]] = row["value"]
    for weights in map(Path, saes):
        sae = weights.parents[2].name, weights.parents[0].name
        lines = read_log(weights.with_name("training.jsonl"))
        if sae in run.readings and lines:
            steps = np.diff([0, *(line["step"] for line in lines)])
            shares = [line[CLIPPED] for line in lines]
            run.readings[sae][""] = {CLIPPED: float(np.average(shares, weights=steps))}
    return run


def read_runs(paths, sweep) -> list[Run]:
    """The Runs of several studies' files: of each, first its scores, then its SAEs."""
    of_each = []
    for path in paths:
        if Path(path).suffix == ".csv":
            of_each.append([])
        of_each[-1].append(path)
    return [read_run(scores, saes, sweep) for scores, *saes in of_each]


def as_run(studies: Mapping[str, Run], arms: Mapping[str, Mapping[str, Run]]) -> Table:
    """One row for each setting and number that it may change.

    studies: name → Run, of the study and its replicates. arms: arm → study → Run, as far as they
    were run; where that is not everywhere, the rows say so.
    """
    lines = []
    for arm in arms:
        absent = [name for name in studies if name not in arms[arm]]
        reason = f"not run in {', '.join(absent)}" if absent else None
        pairs = [(studies[study], run) for study, run in arms[arm].items()]
        for metric, reading in [*((name, HEADLINE) for name in metrics()), *BESIDE]:
            if any(metric in known for run in studies.values() for known in run.readings.values()):
                found = [_paired(*pair, metric, reading, reading) for pair in pairs]
                lines.append(
                    {"setting": arm, "switched": ARM, "metric": metric, "reading": reading}
                    | _changes(found, reason)
                )
    for metric in metrics():
        for setting, sides in EVALS[metric].switches.items():
            found = [_paired(run, run, metric, *sides) for run in studies.values()]
            if any(found):
                reading = next((side for side in reversed(sides) if isinstance(side, str)), "")
                lines.append(
                    {"setting": setting, "switched": READING, "metric": metric, "reading": reading}
                    | _changes(found, None)
                )
    return Table(
        "The paper as it was run: what one setting changes at a time",
        (
            Column("setting", "Setting"),
            Column("switched", "by"),
            Column("metric", "Metric"),
            Column("reading", "reading"),
            Column("before", "before", digits=4),
            Column("after", "after", digits=4),
            Column("change", "change", digits=4),
            Column("low", "lowest", digits=4),
            Column("high", "highest", digits=4),
            Column("range", "range of backbones", digits=4),
            Column("rho", "ρ", digits=2),
            Column("eta2_before", "η² before", digits=3),
            Column("eta2_after", "η² after", digits=3),
            Column("saes", "SAEs"),
            Column("studies", "studies"),
            Column("reason", "reason"),
        ),
        lines,
        (
            "arm: the study run again with the setting; reading: the same SAEs, read otherwise.",
            "before, after: means over SAEs that have both, over all studies (seeds of the "
            "pretraining). lowest, highest: the change of one study's mean.",
            "range of backbones: from the lowest to the highest of the backbones' means, before.",
            "ρ: Spearman's, of the backbones' means before and after. η²: the backbone's share of "
            "the variance (Table 3). Both are means over studies.",
        ),
    )


def _paired(one, other, metric, before, after):
    """SAE → (value in `one`, value in `other`, its row), where both are known."""
    found = {}
    for sae, row in one.saes.items():
        if sae in other.saes:
            pair = (
                _read(run.readings[sae].get(metric, {}), side)
                for run, side in ((one, before), (other, after))
            )
            if None not in (pair := tuple(pair)):
                found[sae] = (*pair, row)
    return found


def _read(readings, side):
    return side(readings) if callable(side) else readings.get(side)


def _changes(found, reason):
    """The numbers of a line, from each study's `_paired`."""
    found = [pairs for pairs in found if pairs]
    line = dict.fromkeys(_NUMBERS) | {"saes": sum(map(len, found)), "studies": len(found)}
    if not found:
        return line | {"reason": reason or "no SAE has both"}
    before, after = ([pair[side] for pairs in found for pair in pairs.values()] for side in (0, 1))
    shifts = [basic.fmean(b - a for a, b, _ in pairs.values()) for pairs in found]
    means = [[_by_backbone(pairs, side) for side in (0, 1)] for pairs in found]
    all_before = _by_backbone(dict(enumerate(itertools.chain(*(p.values() for p in found)))), 0)
    return line | {
        "before": basic.fmean(before),
        "after": basic.fmean(after),
        "change": basic.fmean(after) - basic.fmean(before),
        "low": min(shifts),
        "high": max(shifts),
        "range": max(all_before.values()) - min(all_before.values()),
        "rho": _mean(spearman(*(list(side.values()) for side in two)).rho for two in means),
        "eta2_before": _mean(_eta(pairs, 0) for pairs in found),
        "eta2_after": _mean(_eta(pairs, 1) for pairs in found),
        "reason": reason,
    }


def _by_backbone(pairs, side):
    """Backbone → mean of one side of its pairs."""
    values = {}
    for pair in pairs.values():
        values.setdefault(pair[2]["backbone"], []).append(pair[side])
    return {backbone: basic.fmean(of_one) for backbone, of_one in values.items()}


def _eta(pairs, side):
    values_bc, *_ = variance_cells([row | {"value": p[side]} for *p, row in pairs.values()])
    return eta_squared(values_bc).backbone


def _mean(values):
    known = [value for value in values if value is not None]
    return basic.fmean(known) if known else None
