"""What edits of features change: shares of units, over classes, beside controls of equal size.

Every class counts the same: shares are of its own units, the mean over seeds first. Intervals are
those of a percentile bootstrap over classes. Only features that were chosen by rule are averaged.
"""

import numpy as np

from visae.interventions.outcomes import read_outcomes
from visae.interventions.settings import EDITS, HEAD_LABELS
from visae.tables.layout import Column, Table

RESAMPLES, LEVEL = 2000, 0.95
LEAST_CLASSES = 4  # of fewer a resample repeats a single one too often
_KEYS = ("backbone", "layer", "sae", "dataset", "head", "edit", "strength")


def interventions_table(paths, seed=0):
    """A row per SAE, data set, head, edit and strength; paths: of outcomes. seed: of intervals."""
    rows = []
    for key, of_class in _shares(paths).items():
        row = dict(zip(_KEYS, key, strict=True)) | {"classes": len(of_class)}
        for what in ("target", "other"):
            values = [shares[what] for shares in of_class if shares[what] is not None]
            row |= {f"{what}{end}": v for end, v in _spread(values, seed).items()}
        rows.append(row)
    return Table(
        "Interventions: what edits of features change, beside controls of equal size",
        (
            Column("backbone", "Backbone"),
            Column("layer", "block"),
            Column("sae", "SAE"),
            Column("dataset", "Data set"),
            Column("head", "Head"),
            Column("edit", "Edit"),
            Column("strength", "strength"),
            Column("classes", "classes"),
            *(
                Column(f"{what}{end}", heading, digits=3)
                for what, name in (("target", "target"), ("other", "other"))
                for end, heading in (
                    ("", name), ("_low", "low"), ("_high", "high"), ("_sd", "sd")
                )
            ),
        ),
        rows,
        (
            "Shares of units whose prediction changes, means over classes. Target: units (images, "
            "or patches) of the class that the edited feature tells best; other: units of other "
            f"classes. low, high: {100 * LEVEL:g} % bootstrap interval over classes, of at least "
            f"{LEAST_CLASSES}; sd: over classes. Strength 1 takes the feature out, less than 0 "
            "makes it stronger.",
            "Edits of a class have equal size: random directions and random live features on the "
            "same patches, the class mean direction in sum. Seeds are averaged first.",
        ),
    )  # fmt: skip


def _shares(paths):
    """Key of a row → [{`target`, `other`: a class's share, or None without such units}, …]."""
    counts = {}
    for path in paths:
        about = read_outcomes(path)
        for task in about["tasks"]:
            for row in task["rows"]:
                if row["chosen"] != "rule":
                    continue
                key = (
                    *(about[name] for name in ("backbone", "layer", "sae")),
                    task["dataset"], HEAD_LABELS[task["head"]], EDITS[row["edit"]], row["strength"],
                )  # fmt: skip
                of_class = counts.setdefault(key, {}).setdefault(row["class"], [])
                of_class.append(row)
    return {
        key: [
            {what: _share(rows, what) for what in ("target", "other")} for rows in classes.values()
        ]
        for key, classes in counts.items()
    }


def _share(rows, what):
    total = sum(row[what] for row in rows)
    return sum(row[f"{what}_changed"] for row in rows) / total if total else None


def _spread(values, seed):
    """Mean, interval and standard deviation of shares; None where there are too few."""
    values = np.array(values, float)
    low = high = None
    if len(values) >= LEAST_CLASSES:
        drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low, high = map(float, np.quantile(values[drawn].mean(axis=1), tails))
    return {
        "": float(values.mean()) if len(values) else None,
        "_low": low,
        "_high": high,
        "_sd": float(values.std(ddof=1)) if len(values) > 1 else None,
    }


def features_table(paths):
    """A row per feature, head, edit and strength: changes, and probabilities before and after."""
    rows = []
    for path in paths:
        about = read_outcomes(path)
        for task in about["tasks"]:
            grouped = {}
            for row in task["rows"]:
                key = tuple(
                    row[name] for name in ("class", "feature", "chosen", "edit", "strength")
                )
                grouped.setdefault(key, []).append(row)
            for (name, feature, chosen, edit, strength), own in grouped.items():
                after = [row["probability_after"] for row in own]
                rows.append(
                    {key: about[key] for key in ("backbone", "layer", "sae")}
                    | {
                        "dataset": task["dataset"],
                        "head": HEAD_LABELS[task["head"]],
                        "class": name,
                        "feature": feature,
                        "chosen": chosen,
                        "correlation": own[0]["correlation"],
                        "edit": EDITS[edit],
                        "strength": strength,
                        "units": own[0]["target"],
                        "target": _share(own, "target"),
                        "other": _share(own, "other"),
                        "before": own[0]["probability_before"],
                        "after": None if None in after else sum(after) / len(after),
                    }
                )
    return Table(
        "Interventions, feature by feature: predictions that change, and the class's probability",
        (
            Column("backbone", "Backbone"),
            Column("layer", "block"),
            Column("sae", "SAE"),
            Column("dataset", "Data set"),
            Column("head", "Head"),
            Column("class", "Class"),
            Column("feature", "feature"),
            Column("chosen", "chosen by"),
            Column("correlation", "tells it", digits=2),
            Column("edit", "Edit"),
            Column("strength", "strength"),
            Column("units", "units"),
            Column("target", "target", digits=3),
            Column("other", "other", digits=3),
            Column("before", "p before", digits=3),
            Column("after", "p after", digits=3),
        ),
        rows,
        (
            "tells it: correlation of the feature's code with the class on training images. units: "
            "test images, or patches, of the class. p: probability of the class on them, a mean.",
        ),
    )
