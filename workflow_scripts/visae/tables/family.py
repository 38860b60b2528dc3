"""Table 9: do two families of SAEs rank the backbones alike (Appendix Q)?

A JumpReLU SAE is steered towards its L0 and may miss it. Those that miss by more than 2 are left
out by rule and listed. What is left differs between backbones, so that the paper's means mix
configurations; a second correlation keeps to those that converged on every backbone.
"""

import statistics

from visae.base import equal
from visae.evals.shelf import metrics
from visae.sae.families import FAMILIES, L0_TOLERANCE
from visae.tables import statistics as tests
from visae.tables.layout import Column, Table
from visae.tables.scores import HEADLINE, headlines
from visae.tables.variance import configuration


def not_converged(rows, sweeps):
    """SAEs of the `sweeps` that are steered towards an L0 and miss it (or have none)."""
    lines = [
        {
            "sweep": row["sweep"],
            "backbone": row["backbone"],
            "sae": row["sae"],
            "target_l0": row["sparsity"],
            "mean_l0": row["value"],
        }
        for row in rows
        if _aimed(row, sweeps)
        and not (row["value"] is not None and abs(row["value"] - row["sparsity"]) <= L0_TOLERANCE)
    ]
    steered = sum(_aimed(row, sweeps) for row in rows)
    return Table(
        f"SAEs that did not converge to their target L0, sweeps {' and '.join(sweeps)}",
        (
            Column("sweep", "Sweep"),
            Column("backbone", "Backbone"),
            Column("sae", "SAE"),
            Column("target_l0", "target L0"),
            Column("mean_l0", "L0", digits=1),
        ),
        lines,
        (
            f"{len(lines)} of {steered} steered SAEs miss their target by more than "
            f"{L0_TOLERANCE:g} and are left out of the comparison of families.",
        ),
    )


def table_9(rows, first, second):
    """Rankings of the backbones by each metric under the sweeps `first` and `second`.

    Means are over the converged SAEs of the configurations that both sweeps have. `rho_common`
    takes only configurations with a value on every backbone in both sweeps. Rankings name the
    backbones from best to worst.
    """
    lines, kept = [], _converged(rows, (first, second))
    for metric in metrics():
        sides = [_values(kept, metric, sweep) for sweep in (first, second)]
        if not all(sides):
            continue
        shared = {c for _, c in sides[0]} & {c for _, c in sides[1]}
        backbones = sorted({b for b, _ in sides[0]} & {b for b, _ in sides[1]})
        common = {c for c in shared if all((b, c) in side for side in sides for b in backbones)}
        means = [_means(side, backbones, shared) for side in sides]
        own = tests.spearman(*(list(side.values()) for side in means))
        same = tests.spearman(*(list(_means(s, backbones, common).values()) for s in sides))
        higher = next(row["higher_is_better"] for row in headlines(rows, metric, first))
        lines.append(
            {
                "metric": metric,
                "ranking_first": _ranking(means[0], higher),
                "ranking_second": _ranking(means[1], higher),
                "rho": own.rho,
                "p_t": own.p_t,
                "p_exact": own.p_exact,
                "backbones": own.n,
                "rho_common": same.rho,
                "configurations_common": len(common),
                "reason": own.reason,
            }
        )
    return Table(
        f"Table 9: rankings of the backbones by two families (sweeps {first} and {second})",
        (
            Column("metric", "Metric"),
            Column("ranking_first", f"{first}: best to worst"),
            Column("ranking_second", f"{second}: best to worst"),
            Column("rho", "ρ", digits=3),
            Column("p_t", "p (t)", digits=3),
            Column("p_exact", "p (exact)", digits=3),
            Column("backbones", "n"),
            Column("rho_common", "ρ, common", digits=3),
            Column("configurations_common", "common"),
            Column("reason", "reason"),
        ),
        lines,
        (
            "ρ: over the means of each backbone's converged SAEs in the configurations that both "
            "sweeps have. common: configurations with a value on every backbone in both, and ρ "
            "over these.",
        ),
    )


def family_differences(rows, first, second):
    """How sweep `second` differs from `first` at matched configuration, by backbone.

    One row per backbone: mean differences (second − first) of FVU and of sparse probing over
    the pairs of converged SAEs, and mean shares of dead features.
    """
    kept = _converged(rows, (first, second))
    sides = {
        quantity: [_values(kept, metric, sweep, reading) for sweep in (first, second)]
        for quantity, metric, reading in (
            ("fvu", "fvu", HEADLINE),
            ("sparse_probing", "sparse_probing", HEADLINE),
            ("dead", "fvu", "dead_fraction"),
        )
    }
    backbones = sorted({row["backbone"] for row in headlines(rows, "fvu", second)})
    lines = []
    for backbone in backbones:
        pairs = {name: _pairs(*both, backbone=backbone) for name, both in sides.items()}
        lines.append(
            {
                "backbone": backbone,
                "pairs": len(pairs["fvu"]),
                "fvu_difference": _mean(b - a for a, b in pairs["fvu"]),
                "sparse_probing_difference": _mean(b - a for a, b in pairs["sparse_probing"]),
                "dead_first": _mean(a for a, _ in pairs["dead"]),
                "dead_second": _mean(b for _, b in pairs["dead"]),
            }
        )
    return Table(
        f"Sweep {second} against sweep {first} at equal expansion factor and L0",
        (
            Column("backbone", "Backbone"),
            Column("pairs", "pairs"),
            Column("fvu_difference", "FVU, difference", digits=3),
            Column("sparse_probing_difference", "M4, difference", digits=3),
            Column("dead_first", f"dead, {first}", digits=3),
            Column("dead_second", f"dead, {second}", digits=3),
        ),
        lines,
        (f"Differences: {second} − {first}. dead: share of features that never fire.",),
    )


def _converged(rows, sweeps):
    """The rows of the `sweeps` without those of SAEs that did not converge."""
    missed = {
        (line["sweep"], line["backbone"], line["sae"]) for line in not_converged(rows, sweeps).rows
    }
    return [
        row
        for row in rows
        if row["sweep"] in sweeps and (row["sweep"], row["backbone"], row["sae"]) not in missed
    ]


def _values(rows, metric, sweep, reading=HEADLINE):
    """{(backbone, (expansion factor, K)): value} of the SAEs of a sweep.

    SAEs of one configuration count once, by their mean.
    """
    values = {}
    for row in rows:
        said = row["metric"], row["sweep"], row["reading"]
        if said == (metric, sweep, reading) and row["value"] is not None:
            values.setdefault((row["backbone"], configuration(row)), []).append(row["value"])
    return {key: _mean(of_key) for key, of_key in values.items()}


def _aimed(row, sweeps):
    """Whether a row says the L0 of an SAE that was steered towards one, as far as is known."""
    return (
        (row["metric"], row["reading"]) == ("fvu", "mean_l0")
        and row["sweep"] in sweeps
        and FAMILIES[row["family"]].steered
        and row["sparsity"] is not None
    )


def _means(values, backbones, configurations):
    return {
        backbone: _mean(
            value
            for (own, configuration), value in values.items()
            if own == backbone and configuration in configurations
        )
        for backbone in backbones
    }


def _ranking(means, higher_is_better):
    """Best to worst; equal ones as `clip = siglip`."""
    groups = equal.ranked(means, ascending=not higher_is_better)
    return ", ".join(map(equal.named, groups)) or None


def _pairs(first, second, backbone):
    return [(first[key], value) for key, value in second.items()
            if key[0] == backbone and key in first]  # fmt: skip


def _mean(values):
    values = list(values)
    return statistics.fmean(values) if values else None
