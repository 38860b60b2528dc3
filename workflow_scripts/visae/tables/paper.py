"""The paper's tables, computed from a run: Table 3 (variance shares), Table 4 (raw Moran's I)."""

import numpy as np

from visae.base.errors import UserError
from visae.evals.shelf import metrics
from visae.tables import statistics
from visae.tables.layout import Column, Table
from visae.tables.scores import headlines

# |z| below which the paper calls a mean Moran's I indistinguishable from the null (App. G), and
# the distance from the null below which a rejection is "near-null in effect size": with hundreds
# of channels z rejects effects of no size. The paper's MAE is at 0.0001, its next backbone at 0.17.
NULL_Z = 2.0
NEAR_NULL_EFFECT = 0.01

_SHARES = ("backbone", "configuration", "residual")


def table_3(rows, sweep, without=(), seed=42):
    """Variance decomposition of every metric's headline over the SAEs of one sweep.

    `rows` are those of `scores_table`. The factors are backbone and configuration (expansion
    factor × K). Sorted by the backbone's share, metrics without one last. `without` names
    backbones to leave out (the paper repeats M1 without MAE).
    """
    lines = [
        _variance_line(metric, scores, seed)
        for metric in metrics()
        if (scores := headlines(rows, metric, sweep, without))
    ]
    lines.sort(
        key=lambda line: -1 if line["eta2_backbone"] is None else line["eta2_backbone"],
        reverse=True,
    )
    left_out = f" without {', '.join(without)}" if without else ""
    percent = round(100 * statistics.BOOTSTRAP_LEVEL)
    return Table(
        f"Table 3: share of each metric's variance, sweep {sweep}{left_out}",
        (
            Column("metric", "Metric"),
            Column("eta2_backbone", "η² backbone", digits=3),
            Column("eta2_backbone_low", "low", digits=3),
            Column("eta2_backbone_high", "high", digits=3),
            Column("eta2_configuration", "η² hyperparameters", digits=3),
            Column("eta2_configuration_low", "low", digits=3),
            Column("eta2_configuration_high", "high", digits=3),
            Column("eta2_residual", "η² residual", digits=3),
            Column("eta2_residual_low", "low", digits=3),
            Column("eta2_residual_high", "high", digits=3),
            Column("chance_backbone", "chance backbone", digits=3),
            Column("chance_configuration", "chance hyperparameters", digits=3),
            Column("cells", "SAEs"),
            Column("missing", "missing"),
            Column("reason", "reason"),
        ),
        lines,
        (
            "Two-way additive analysis of variance (type II), one value per SAE.",
            f"low and high: {percent} % bootstrap interval over configurations "
            f"(seed {seed}), from {statistics.BOOTSTRAP_MINIMUM_CONFIGURATIONS} configurations on. "
            "In simulations such intervals hold the truth in 81 to 87 % of studies with 12 "
            "configurations and in 70 to 77 % with 6: they tell how far a share hangs on the "
            "configurations that were run, and are too short rather than too long.",
            "chance: the share that a factor takes on average when it has no effect.",
        ),
    )


def variance_cells(scores):
    """Scores of one metric as [backbones, configurations] (NaN: none), with both axes' names."""
    backbones = sorted({score["backbone"] for score in scores})
    configurations = sorted({_configuration(score) for score in scores})
    values_bc = np.full((len(backbones), len(configurations)), np.nan)
    filled = set()
    for score in scores:
        cell = backbones.index(score["backbone"]), configurations.index(_configuration(score))
        if cell in filled:
            raise UserError(
                f"Two scores of {score['metric']} share the backbone {score['backbone']} and the "
                f"configuration {_configuration(score)} ({score['sae']}, layer {score['layer']}); "
                f"give each its own sweep."
            )
        filled.add(cell)
        values_bc[cell] = np.nan if score["value"] is None else score["value"]
    return values_bc, backbones, configurations


def _variance_line(metric, scores, seed):
    values_bc, _, _ = variance_cells(scores)
    known_bc = ~np.isnan(values_bc)
    shares = statistics.eta_squared(values_bc)
    intervals = statistics.eta_squared_intervals(values_bc, seed)
    line = {"metric": metric, "cells": shares.cells, "missing": shares.missing}
    for name in _SHARES:
        low, high = getattr(intervals, name) if intervals else (None, None)
        line |= {
            f"eta2_{name}": getattr(shares, name),
            f"eta2_{name}_low": low,
            f"eta2_{name}_high": high,
        }
    return {
        **line,
        "chance_backbone": _chance(known_bc.any(axis=1).sum(), shares.cells),
        "chance_configuration": _chance(known_bc.any(axis=0).sum(), shares.cells),
        "reason": shares.reason,
    }


def _chance(levels, cells):
    """Expected η² of a factor without effect: its degrees of freedom over all of them."""
    return float((levels - 1) / (cells - 1)) if cells > levels else None


def _configuration(score):
    return score["expansion_factor"], score["sparsity"]


def table_4(raw_coherence):
    """Moran's I of the backbones' own channels (App. G).

    `raw_coherence` maps a backbone to `mean` (over evaluable channels), `null` (−1/(P−1)),
    `z` (App. F) and `channels` (how many were evaluable); `mean` and `z` are None without any.
    Order is kept.
    """
    rows = [
        {"backbone": backbone, **summary, "conclusion": _conclusion(**summary)}
        for backbone, summary in raw_coherence.items()
    ]
    return Table(
        "Table 4: spatial coherence of raw backbone channels",
        (
            Column("backbone", "Backbone"),
            Column("mean", "mean raw I", digits=4),
            Column("null", "null E[I]", digits=4),
            Column("z", "raw z", digits=2),
            Column("channels", "channels"),
            Column("conclusion", "conclusion"),
        ),
        rows,
        (
            f"Conclusion: consistent with the null at |z| ≤ {NULL_Z:g}; beyond it, near-null "
            f"effect size if the mean is within {NEAR_NULL_EFFECT:g} of the null, else non-random.",
        ),
    )


def _conclusion(mean, null, z, channels):
    if not channels or z is None:
        return "not computable"
    if abs(z) <= NULL_Z:
        return "consistent with the null"
    if abs(mean - null) < NEAR_NULL_EFFECT:
        return "near-null effect size"
    return "non-random, coherent" if mean > null else "non-random, dispersed"
