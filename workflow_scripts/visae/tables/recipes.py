"""What a recipe of training gains: SAEs of one size and L0 beside each other, over their seeds."""

import statistics

from visae.tables.layout import Column, Table
from visae.tables.tidy import HEADLINE

SPREAD = "_spread"
"""Ends the key of a column with the largest difference between seeds."""

_READINGS = {"mean_l0": ("fvu", "mean_l0"), "dead_fraction": ("fvu", "dead_fraction")}
_HEADINGS = {"mean_l0": "L0", "dead_fraction": "dead"}


def recipes(rows, chosen, titles):
    """One row per place, configuration and recipe, of configurations that several recipes have.

    rows: of the tidy table. chosen: [{name, family, own, sweeps}], as `visae.study.roles.recipes`
    has them. titles: metric → its title.
    """
    headings = titles | _HEADINGS
    recipe_of = {sweep: number for number, each in enumerate(chosen) for sweep in each["sweeps"]}
    quantities = {name: (name, HEADLINE) for name in titles} | _READINGS
    wanted = {reading: name for name, reading in quantities.items()}
    found = {}
    for row in rows:
        name = wanted.get((row["metric"], row["reading"]))
        if name is None or row["sweep"] not in recipe_of or row["k"] is None:
            continue
        cell = row["backbone"], row["layer"], row["expansion_factor"], row["k"]
        of_cell = found.setdefault(cell, {}).setdefault(recipe_of[row["sweep"]], {})
        of_cell.setdefault(name, {})[row["sae"]] = row["value"]
    lines = [
        _line(cell, chosen[number], values, quantities)
        for cell, by_recipe in sorted(found.items())
        if len(by_recipe) > 1
        for number, values in sorted(by_recipe.items())
    ]
    return Table(
        "Recipes: SAEs of one size and L0, trained in several ways",
        (
            Column("backbone", "Backbone"),
            Column("layer", "Layer"),
            Column("expansion_factor", "Expansion"),
            Column("k", "K"),
            Column("recipe", "Recipe"),
            Column("family", "Family"),
            Column("own", "its own settings"),
            Column("seeds", "seeds"),
            *(Column(name, headings[name], 4) for name in quantities),
            *(Column(name + SPREAD, f"{headings[name]}, ±", 4) for name in quantities),
        ),
        lines,
        (
            "Means over the SAEs of a recipe, which differ in the seed of their weights; ±: the "
            "largest less the smallest of them. dead: share of features that never fire.",
        ),
    )


def _line(cell, recipe, values, quantities):
    backbone, layer, expansion, k = cell
    line = {
        "backbone": backbone,
        "layer": layer,
        "expansion_factor": expansion,
        "k": k,
        "recipe": recipe["name"],
        "family": recipe["family"],
        "own": recipe["own"] or None,
        "seeds": max(map(len, values.values())),
    }
    for name in quantities:
        known = [value for value in values.get(name, {}).values() if value is not None]
        line[name] = statistics.fmean(known) if known else None
        line[name + SPREAD] = max(known) - min(known) if len(known) > 1 else None
    return line
