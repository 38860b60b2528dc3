"""SAEs of one configuration on the same activations: how far their scores lie apart.

Such SAEs differ in a seed, in how they were trained, or in who trained them. What they differ by is
the yardstick for a difference between two single SAEs.
"""

import statistics

from visae.tables.layout import Column, Table
from visae.tables.scores import HEADLINE


def same_configuration(rows):
    """One row per metric, place and configuration with several SAEs that have a value.

    rows: headline and other rows of `tables/scores.csv`. `sd` is the sample standard deviation over
    these SAEs; `others_sd` that over the means of the configurations of their family at the place,
    None with fewer than two.
    """
    headlines = [r for r in rows if r["reading"] == HEADLINE and r["value"] is not None]
    of_cell, of_family = {}, {}
    for row in headlines:
        if row["sparsity"] is None:
            continue  # of which configuration it is is unknown
        family = row["metric"], row["backbone"], row["layer"], row["family"]
        cell = (*family, row["expansion_factor"], row["sparsity"])
        of_cell.setdefault(cell, {})[row["sae"]] = row["value"]
        of_family.setdefault(family, {}).setdefault(cell[-2:], []).append(row["value"])
    lines = []
    for (*family, factor, sparsity), saes in of_cell.items():
        if len(saes) < 2:
            continue
        metric, backbone, layer, kind = family
        means = [statistics.fmean(values) for values in of_family[tuple(family)].values()]
        lines.append(
            {
                "metric": metric,
                "backbone": backbone,
                "layer": layer,
                "family": kind,
                "expansion_factor": factor,
                "sparsity": sparsity,
                "saes": ", ".join(sorted(saes)),
                "mean": statistics.fmean(saes.values()),
                "sd": statistics.stdev(saes.values()),
                "low": min(saes.values()),
                "high": max(saes.values()),
                "others_sd": statistics.stdev(means) if len(means) > 1 else None,
            }
        )
    return Table(
        "SAEs of one configuration on the same activations",
        (
            Column("metric", "Metric"),
            Column("backbone", "Backbone"),
            Column("layer", "Layer"),
            Column("family", "Family"),
            Column("expansion_factor", "Expansion"),
            Column("sparsity", "Sparsity"),
            Column("saes", "SAEs"),
            Column("mean", "mean", digits=4),
            Column("sd", "SD", digits=4),
            Column("low", "lowest", digits=4),
            Column("high", "highest", digits=4),
            Column("others_sd", "SD between configurations", digits=4),
        ),
        lines,
        (
            "They differ in a seed, in how they were trained, or in who trained them (sweeps with "
            "a variant, SAEs of one's own).",
            "SD between configurations: of the means of the family's configurations here.",
        ),
    )
