"""Every SAE of the study with its training curve, its scores and example features."""

from typing import NamedTuple

from visae.evals.shelf import titles
from visae.report.cells import Cell, gap, number
from visae.report.curves import last_step, read_curves
from visae.report.features import METRICS, example_features
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


def sae_views(study, score_rows, logs, example_files):
    """A view of every SAE of the study, in the order of `study.saes()`.

    score_rows: those of `visae.tables.scores`. logs: each SAE's `training.jsonl`, in that order.
    example_files: (reductions, {metric: score}) of each SAE of the main sweep, in its order.
    """
    by_sae = {}
    for row in score_rows:
        by_sae.setdefault((row["backbone"], row["layer"], row["sae"]), []).append(row)
    ranges = _ranges(score_rows)
    waiting = iter(example_files)
    views = []
    for sae, log in zip(study.saes(), logs, strict=True):
        rows = by_sae.get((sae.backbone, sae.layer, sae.spec.name), [])
        examples = []
        if sae.sweep == roles.main(study).name:
            reductions, scores = next(waiting)
            examples = example_features(scores, reductions)
        views.append(
            SaeView(
                anchor=f"sae-{sae.backbone}-layer{sae.layer}-{sae.spec.name}",
                backbone=sae.backbone,
                label=study.backbones[sae.backbone]["label"],
                layer=sae.layer,
                spec=sae.spec,
                sweep=sae.sweep,
                scores=_scores(rows, ranges, titles(study.metrics())),
                curves=read_curves(log),
                examples=examples,
                concerns=_concerns(rows, log, sae.spec),
            )
        )
    return views


def _concerns(rows, log, spec):
    """What speaks against an SAE, by its scores and its training log (empty if imported)."""
    of_fvu = {row["reading"]: row["value"] for row in rows if row["metric"] == "fvu"}
    return concerns(
        steps=last_step(log),
        fvu=of_fvu.get(HEADLINE),
        dead_fraction=of_fvu.get("dead_fraction"),
        l0=of_fvu.get("mean_l0"),
        target=spec.k,
    )


def example_files(paths, scores):
    """The files of `sae_views`: reductions in the order of the main sweep beside its scores.

    paths: reductions. scores: metric → scores in the same order, empty where it was not scored.
    """
    chosen = {metric: scores[metric] for metric in METRICS if scores[metric]}
    return [
        (path, {metric: files[i] for metric, files in chosen.items()})
        for i, path in enumerate(paths)
    ]


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
