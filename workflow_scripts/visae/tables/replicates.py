"""How far a study's results hang on the seed of the backbones' pretraining.

A study and its replicates differ in that seed alone. What the paper calls the backbone's share of
the variance contains whatever one pretraining run happened to be; with several runs of each
paradigm the two can be told apart.
"""

import itertools
import statistics as basic

import numpy as np

from visae.base.errors import UserError
from visae.evals.shelf import metrics
from visae.tables.family import not_converged
from visae.tables.layout import Column, Table
from visae.tables.scores import headlines, read_scores
from visae.tables.statistics import eta_squared, nested_shares, spearman
from visae.tables.summaries import summarised
from visae.tables.variance import variance_cells


def read_studies(names, paths):
    """Study → its rows, from the studies' `tables/scores.csv`."""
    return {name: read_scores(path) for name, path in zip(names, paths, strict=True)}


def replicates(studies, sweep):
    """Variance of every metric between backbones, seeds and configurations.

    studies: from `read_studies`, one per seed. One row per metric: the shares
    of `nested_shares` with the p of backbone against seed; η² of the backbone as each study alone
    would report it (mean, lowest, highest); and how far two seeds rank the backbones alike
    (Spearman's ρ, mean over pairs of seeds).
    """
    lines = []
    for metric in metrics():
        scores = {study: headlines(rows, metric, sweep) for study, rows in studies.items()}
        if any(scores.values()):
            lines.append({"metric": metric, **_line(_same_grid(metric, scores))})
    return Table(
        f"Pretraining repeated: share of each metric's variance, sweep {sweep}",
        (
            Column("metric", "Metric"),
            Column("backbone", "backbone", digits=3),
            Column("seed", "seed within backbone", digits=3),
            Column("configuration", "hyperparameters", digits=3),
            Column("residual", "residual", digits=3),
            Column("p", "p, backbone against seed", digits=4),
            Column("alone_mean", "η² backbone, one seed: mean", digits=3),
            Column("alone_low", "lowest", digits=3),
            Column("alone_high", "highest", digits=3),
            Column("rho", "ρ between seeds", digits=2),
            Column("seeds", "seeds"),
            Column("configurations", "configurations"),
            Column("reason", "reason"),
        ),
        lines,
        (
            "Seeds nested in backbones, crossed with configurations; p: F-test of the mean square "
            "of backbones against that of seeds within backbones.",
            "One seed: the two-way η² that each study reports by itself (Table 3).",
            "ρ: Spearman's, between two seeds' rankings of the backbones by their means.",
        ),
    )


def _same_grid(metric, scores):
    """[backbones, configurations] of every study; UserError unless all have the same of both."""
    (first, (_, *axes)), *others = cells = [(n, variance_cells(s)) for n, s in scores.items()]
    for study, (_, *own) in others:
        if own != axes:
            raise UserError(
                f"The studies {first} and {study} have {metric} for different backbones or "
                "configurations, so they are no replicates of each other: make both from one "
                "config, with workflow_scripts/replicate_study.py"
            )
    return [values_bc for _, (values_bc, *_) in cells]


def _line(values_sbc):
    shares = nested_shares(np.stack(values_sbc))
    alone = [eta_squared(values_bc).backbone for values_bc in values_sbc]
    alone = [share for share in alone if share is not None]
    means = [np.nanmean(values_bc, axis=1) for values_bc in values_sbc]
    pairs = itertools.combinations(means, 2)
    agreements = [rho for one, other in pairs if (rho := spearman(one, other).rho) is not None]
    return {
        **shares._asdict(),
        "alone_mean": basic.fmean(alone) if alone else None,
        "alone_low": min(alone, default=None),
        "alone_high": max(alone, default=None),
        "rho": basic.fmean(agreements) if agreements else None,
        "seeds": len(values_sbc),
    }


def replicate_means(studies, sweeps):
    """Mean of every metric over a backbone's configurations, study by study.

    One row per sweep, metric, backbone and study. JumpReLU SAEs that missed their target L0 are
    left out.
    """
    lines = []
    missed = {
        (study, line["sweep"], line["backbone"], line["sae"])
        for study, rows in studies.items()
        for line in not_converged(rows, sweeps).rows
    }
    for sweep, metric in itertools.product(sweeps, metrics()):
        for study, rows in studies.items():
            scores = headlines(rows, metric, sweep)
            for backbone in dict.fromkeys(score["backbone"] for score in scores):
                mine = [score for score in scores if score["backbone"] == backbone]
                converged = [
                    score["value"]
                    for score in mine
                    if (study, sweep, backbone, score["sae"]) not in missed
                ]
                known = summarised(converged)
                lines.append(
                    {
                        "sweep": sweep,
                        "metric": metric,
                        "backbone": backbone,
                        "study": study,
                        "mean": known.mean,
                        "saes": known.saes,
                        "left_out": len(mine) - len(converged),
                    }
                )
    return Table(
        "Pretraining repeated: means over configurations",
        (
            Column("sweep", "Sweep"),
            Column("metric", "Metric"),
            Column("backbone", "Backbone"),
            Column("study", "Study"),
            Column("mean", "mean", digits=4),
            Column("saes", "SAEs"),
            Column("left_out", "left out"),
        ),
        lines,
        ("left out: JumpReLU SAEs that missed their target L0.",),
    )
