"""SAEs of one's own beside the study's: at equal L0, and at equal reconstruction.

Most metrics move with L0, and with how well an SAE reconstructs: an SAE that keeps more features
per token, or was trained for longer, may look better or worse for that alone. So a score is held
against the study's curve, at the own SAE's L0 and at its FVU, and against the nearest single SAE.
"""

import math

import numpy as np

from visae.evals.shelf import metrics
from visae.tables.layout import Column, Table
from visae.tables.scores import low_is_good
from visae.tables.tidy import HEADLINE

L0, FVU = ("fvu", "mean_l0"), ("fvu", HEADLINE)


def own_saes(rows, own):
    """One row per SAE of the sweeps `own` and metric.

    rows: of `tables/scores.csv`. The curve is that of the sweep with the most SAEs at the place
    (the first of several), at the expansion factor nearest by ratio. Between its SAEs values are
    read off linearly in log L0 and in log FVU; beyond them they are None, with the reason.
    """
    saes = _by_sae(rows)
    lines = []
    for (sweep, backbone, layer, name), values in saes.items():
        if sweep not in own:
            continue
        curve_of, curve = _curve(saes, own, (backbone, layer), values["expansion_factor"])
        for metric in metrics():
            if (metric, HEADLINE) in values:
                about = {"sae": name, "backbone": backbone, "layer": layer, "sweep": curve_of}
                lines.append(about | _line(metric, values, curve))
    return Table(
        "Your SAEs beside the study's, at equal L0 and at equal FVU",
        (
            Column("sae", "SAE"),
            Column("backbone", "Backbone"),
            Column("layer", "Layer"),
            Column("metric", "Metric"),
            Column("value", "value", digits=4),
            Column("l0", "L0", digits=1),
            Column("fvu", "FVU", digits=4),
            Column("sweep", "beside sweep"),
            Column("nearest", "nearest in L0"),
            Column("nearest_l0", "its L0", digits=1),
            Column("nearest_value", "its value", digits=4),
            Column("at_l0", "study at this L0", digits=4),
            Column("over_l0", "difference", digits=4),
            Column("at_fvu", "study at this FVU", digits=4),
            Column("over_fvu", "difference", digits=4),
            Column("reason", "reason"),
        ),
        lines,
        (
            "Study at this L0, at this FVU: read off between the sweep's SAEs of the nearest "
            "expansion factor, linearly in the logarithm.",
            f"Difference: value less that. Low values are good: {low_is_good(metrics())}.",
        ),
    )


def _by_sae(rows):
    """{(sweep, backbone, layer, SAE): {(metric, reading): value, "expansion_factor": …}}"""
    found = {}
    for row in rows:
        key = row["sweep"], row["backbone"], row["layer"], row["sae"]
        values = found.setdefault(key, {"expansion_factor": row["expansion_factor"]})
        values[row["metric"], row["reading"]] = row["value"]
    return found


def _curve(saes, own, place, factor):
    """(name of the sweep or None, {SAE: its values}) that an SAE at `place` is held against."""
    by_sweep = {}
    for (sweep, *where, name), values in saes.items():
        if sweep not in own and tuple(where) == place:
            by_sweep.setdefault(sweep, {})[name] = values
    if not by_sweep:
        return None, {}
    sweep = max(by_sweep, key=lambda name: len(by_sweep[name]))
    apart = {
        name: round(abs(math.log(values["expansion_factor"] / factor)), 9)
        for name, values in by_sweep[sweep].items()
    }
    nearest = min(apart.values())
    return sweep, {name: by_sweep[sweep][name] for name in apart if apart[name] == nearest}


def _line(metric, values, curve):
    value, l0, fvu = values[metric, HEADLINE], values.get(L0), values.get(FVU)
    line = {"metric": metric, "value": value, "l0": l0, "fvu": fvu, "reason": None}
    known = {n: sae for n, sae in curve.items() if sae.get(L0) and l0}
    nearest = min(known, key=lambda n: abs(math.log(known[n][L0] / l0)), default=None)
    beside = known.get(nearest, {})
    line |= {
        "nearest": nearest,
        "nearest_l0": beside.get(L0),
        "nearest_value": beside.get((metric, HEADLINE)),
    }
    reasons = []
    for name, axis, at in (("l0", L0, l0), ("fvu", FVU, fvu)):
        read = None
        if not (metric == "fvu" and name == "fvu"):  # an SAE is no better at its own FVU
            read, reason = _read_off(metric, axis, at, curve)
            reasons += [reason] if reason else []
        known_both = None not in (read, value)
        line |= {f"at_{name}": read, f"over_{name}": value - read if known_both else None}
    if value is None:
        reasons = ["no value"]
    return line | {"reason": "; ".join(reasons) or None}


def _read_off(metric, axis, at, curve):
    """(the curve's value where its `axis` has the value `at`, or None; why it is None, or None)."""
    name = "L0" if axis == L0 else "FVU"
    if not at:
        return None, f"its {name} is {'unknown' if at is None else 0}"
    points = sorted(
        (math.log(sae[axis]), sae[metric, HEADLINE])
        for sae in curve.values()
        if sae.get(axis) and sae.get((metric, HEADLINE)) is not None
    )
    if len(points) < 2:
        return None, f"fewer than two SAEs of the study have {metric} and {name} there"
    places, values = zip(*points, strict=True)
    if not places[0] - 1e-9 <= math.log(at) <= places[-1] + 1e-9:
        ends = (f"{math.exp(end):.3g}" for end in (places[0], places[-1]))
        return None, f"{name} {at:.3g} is outside the study's {' to '.join(ends)}"
    return float(np.interp(math.log(at), places, values)), None
