"""Every SAE of the study with its training curve, its scores and example features."""

from dataclasses import dataclass, field
from typing import NamedTuple

from visae.audit.metrics import METRICS
from visae.evals.shelf import titles
from visae.report.cells import Cell, gap, number
from visae.report.curves import last_step, read_curves
from visae.report.features import example_features
from visae.sae.concerns import concerns
from visae.study import roles
from visae.tables.scores import HEADLINE


class ScoreView(NamedTuple):
    """One metric of one SAE. `share` places it between the least (0) and the greatest (1) value
    of its sweep, None where there is nothing to compare with."""

    metric: str
    cell: Cell
    definition: str
    higher_is_better: bool
    share: float | None
    sweep_range: str
    readings: list


class SaeView(NamedTuple):
    """One SAE; `spec` is its `SaeSpec`."""

    anchor: str
    backbone: str
    label: str
    layer: int
    spec: object
    sweep: str
    scores: list
    curves: object
    examples: list
    concerns: list
    """Sentences about what speaks against it."""


@dataclass(frozen=True)
class SaeFiles:
    """What the page reads of one SAE."""

    log: str
    """`training.jsonl`."""
    reductions: str | None = None
    """On the evaluation split; None where no examples are shown."""
    scores: dict = field(default_factory=dict)
    """Metric → its score, of the metrics by which examples are chosen."""


def files_of_saes(study):
    """(place, SAE) → `SaeFiles` of every SAE: examples are those of the main sweep."""
    main, paths, found = roles.main(study), study.paths, {}
    for sae in study.saes():
        log = paths.sae(sae.name, "training.jsonl", sae.place)
        found[sae.place, sae.name] = SaeFiles(log)
        if sae.sweep == main.name:
            found[sae.place, sae.name] = SaeFiles(
                log,
                paths.reductions(sae.name, study.evaluation.name, sae.place),
                {
                    metric: paths.metric(sae.name, metric, place=sae.place)
                    for metric in METRICS
                    if metric in main.metrics
                },
            )
    return found


def sae_views(study, score_rows, files):
    """A view of every SAE of the study, in the order of `study.saes()`.

    score_rows: those of `visae.tables.scores`. files: as of `files_of_saes`.
    """
    by_sae = {}
    for row in score_rows:
        by_sae.setdefault((row["backbone"], row["layer"], row["sae"]), []).append(row)
    ranges = _ranges(score_rows)
    views = []
    for sae in study.saes():
        own = files[sae.place, sae.name]
        rows = by_sae.get((sae.backbone, sae.layer, sae.spec.name), [])
        examples = []
        if own.reductions is not None:
            examples = example_features(own.scores, own.reductions)
        views.append(
            SaeView(
                anchor=f"sae-{sae.backbone}-layer{sae.layer}-{sae.spec.name}",
                backbone=sae.backbone,
                label=study.backbones[sae.backbone]["label"],
                layer=sae.layer,
                spec=sae.spec,
                sweep=sae.sweep,
                scores=_scores(rows, ranges, titles(study.asked())),
                curves=read_curves(own.log),
                examples=examples,
                concerns=_concerns(rows, own.log, sae.spec, study.sweeps[sae.sweep].imported),
            )
        )
    return views


def _concerns(rows, log, spec, imported):
    """What speaks against an SAE, by its scores and its training log (empty if imported)."""
    of_fvu = {row["reading"]: row["value"] for row in rows if row["metric"] == "fvu"}
    return concerns(
        steps=last_step(log),
        fvu=of_fvu.get(HEADLINE),
        dead_fraction=of_fvu.get("dead_fraction"),
        l0=of_fvu.get("mean_l0"),
        target=spec.k,
        imported=imported,
    )


def _ranges(rows):
    """(sweep, metric) → every headline that there is."""
    values = {}
    for row in rows:
        if row["reading"] == HEADLINE and row["value"] is not None:
            values.setdefault((row["sweep"], row["metric"]), []).append(row["value"])
    return values


def _scores(rows, ranges, labels):
    views = []
    for metric, label in labels.items():
        of_metric = [row for row in rows if row["metric"] == metric]
        for row in of_metric:
            if row["reading"] == HEADLINE:
                others = [other for other in of_metric if other is not row]
                views.append(_score(label, row, others, ranges.get((row["sweep"], metric), [])))
    return views


def _score(label, row, others, sweep):
    value = row["value"]
    share, sweep_range = None, ""
    if value is not None and len(sweep) > 1 and max(sweep) > min(sweep):
        share = (value - min(sweep)) / (max(sweep) - min(sweep))
        sweep_range = f"{_aligned(min(sweep))} to {_aligned(max(sweep))}, n = {len(sweep)}"
    readings = [
        (other["reading"], gap() if other["value"] is None else Cell(number(other["value"])))
        for other in others
    ]
    return ScoreView(
        metric=label,
        cell=gap(row["reason"]) if value is None else Cell(_aligned(value), value),
        definition=row["definition"],
        higher_is_better=row["higher_is_better"],
        share=share,
        sweep_range=sweep_range,
        readings=readings,
    )


def _aligned(value):
    """Scores stand below each other, so that all have the same decimals."""
    return f"{value:.4f}".replace("-", "−")
