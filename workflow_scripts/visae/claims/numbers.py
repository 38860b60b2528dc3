"""A run's numbers by key (`evidence` says which), from the tables that show them."""

import statistics

from visae.claims.quantities import GROUPS, correlate
from visae.study.roles import BACKBONES, PAPER_METRICS
from visae.tables.downstream import codes_lift, task_values
from visae.tables.family import family_differences, not_converged, table_9
from visae.tables.scores import HEADLINE, headlines
from visae.tables.statistics import spearman
from visae.tables.summaries import backbone_means, layer_comparison
from visae.tables.variance import table_3

_MATCHED_EXPANSION = 16
"""The expansion factor at which Appendix Q compares dead features."""


def run_numbers(rows, roles, raw_coherence, downstream, seed):
    """{key: number}; the arguments are those of `visae.claims.evidence.from_run`."""
    paper_names = roles.backbones
    rows = [
        row | {"backbone": paper_names[row["backbone"]]}
        for row in rows
        if row["backbone"] in paper_names
    ]
    main = [row for row in rows if row["sweep"] == roles.main]
    values = _profile_values(rows, roles.main, seed)
    for backbone in paper_names.values():
        own = [row for row in main if row["backbone"] == backbone]
        values |= _backbone_values(own, backbone, roles.tasks)
    values["contiguity_rho"] = _agreement(
        main, ("localization", "queen_minimum_5"), ("localization", "rook_minimum_5")
    )
    # M6 has the raw accuracies of its data sets too, so that they need no downstream tasks.
    values |= _downstream_values(downstream, roles)
    for backbone, summary in raw_coherence.items():
        if backbone in paper_names:
            values |= {
                f"raw_moran/{paper_names[backbone]}": summary["mean"],
                f"raw_z/{paper_names[backbone]}": summary["z"],
                f"null/{paper_names[backbone]}": summary["null"],
            }
    if roles.jumprelu:
        values |= _family_values(rows, roles.main, roles.jumprelu)
    if roles.early:
        for line in layer_comparison(rows, roles.early, roles.main).rows:
            key = f"{line['metric']}/{line['backbone']}"
            values |= {f"early/{key}": line["early"], f"late/{key}": line["late"]}
    values = {key: value for key, value in values.items() if value is not None}
    return values | _across_backbones(values)


def _profile_values(rows, sweep, seed):
    """Means, ranks and shares of variance of the main sweep."""
    means = [line for line in backbone_means(rows, sweep).rows if line["mean"] is not None]
    known = {
        metric: {line["backbone"] for line in means if line["metric"] == metric}
        for metric in PAPER_METRICS
    }
    values = {}
    for line in means:
        key = f"{line['metric']}/{line['backbone']}"
        values[f"score/{key}"] = line["mean"]
        if known[line["metric"]] == set(BACKBONES):
            values[f"rank/{key}"] = line["rank"]
    for name, without in (("share", ()), ("share_without_mae", ("mae",))):
        for line in table_3(rows, sweep, without, seed).rows:
            if known[line["metric"]] >= set(BACKBONES) - set(without):
                for part in ("backbone", "configuration", "residual"):
                    values[f"{name}/{line['metric']}/{part}"] = line[f"eta2_{part}"]
    return values


def _backbone_values(rows, backbone, tasks):
    """Values of one backbone's SAEs in the main sweep."""
    readings = {}
    for row in rows:
        if row["value"] is not None:
            readings.setdefault((row["metric"], row["reading"]), []).append(row["value"])

    def mean(metric, reading):
        found = readings.get((metric, reading))
        return statistics.fmean(found) if found else None

    def spread(metric, reading):
        found = readings.get((metric, reading), [])
        return statistics.stdev(found) if len(found) > 1 else None

    zs = [abs(z) for z in readings.get(("localization", "z"), [])]
    dead = readings.get(("fvu", "dead_fraction"), [])
    within = _agreement(rows, ("fvu", HEADLINE), ("preservation", HEADLINE))
    values = {
        f"null/{backbone}": mean("localization", "null"),
        f"iqr/{backbone}": mean("localization", "iqr"),
        f"z_smallest/{backbone}": min(zs, default=None),
        f"z_largest/{backbone}": max(zs, default=None),
        f"within_class/{backbone}": mean("monosemanticity", "within_class"),
        f"between_class/{backbone}": mean("monosemanticity", "between_class"),
        f"m5_baseline/{backbone}": mean("monosemanticity", "baseline"),
        f"dead_smallest/{backbone}": 100 * min(dead) if dead else None,
        f"dead_largest/{backbone}": 100 * max(dead) if dead else None,
        f"rho_within/{backbone}": None if within is None else abs(within),
    }
    for minimum in (1, 5, 20):
        reading = f"queen_minimum_{minimum}"
        values[f"moran_minimum_{minimum}/{backbone}"] = mean("localization", reading)
    for metric, reading in readings:
        if metric == "absorption" and reading.startswith("absorbed_"):
            setting = reading.removeprefix("absorbed_").replace("_beta_", "/beta_")
            values[f"absorbed/{setting}/{backbone}"] = mean(metric, reading)
    for dataset, task in tasks.items():
        area = next((r for _, r in readings if r.startswith(f"{dataset}_auc_codes_at_")), None)
        values[f"probing/{task}/{backbone}"] = area and mean("cross_domain", area)
        values[f"raw/{task}/{backbone}"] = mean("cross_domain", f"{dataset}_accuracy_raw")
        for name, reading in (
            ("reconstructed", f"{dataset}_accuracy_reconstructed"),
            ("kept", f"{dataset}_preservation"),
        ):
            values[f"{name}/{task}/{backbone}"] = mean("cross_domain", reading)
            values[f"{name}_std/{task}/{backbone}"] = spread("cross_domain", reading)
    return values


def _agreement(rows, first, second):
    """ρ over SAEs of two (metric, reading)."""
    sides = [
        {
            (row["backbone"], row["sae"]): row["value"]
            for row in rows
            if (row["metric"], row["reading"]) == which
        }
        for which in (first, second)
    ]
    shared = sorted(set(sides[0]) & set(sides[1]))
    rho = spearman(*([side[sae] for sae in shared] for side in sides)).rho
    return None if rho is None else _rounded(rho)


def _downstream_values(rows, roles):
    """Performance of raw features and of all codes, and the codes' lift, on the paper's tasks."""
    names = {"retrieval": "retrieval", "segmentation": "segmentation"}
    names |= {f"classification_{dataset}": task for dataset, task in roles.tasks.items()}
    values = {}
    for task, scores in task_values(rows, roles.main).items():
        for backbone, score in scores.items():
            if task in names and backbone in roles.backbones:
                values[f"raw/{names[task]}/{roles.backbones[backbone]}"] = score
    for line in codes_lift(rows, roles.main).rows:
        if line["task"] in names and line["backbone"] in roles.backbones:
            place = f"{names[line['task']]}/{roles.backbones[line['backbone']]}"
            for name in ("codes_mean", "lift_mean", "lift_std"):
                values[f"{name.removesuffix('_mean')}/{place}"] = line[name]
    return {key: value for key, value in values.items() if value is not None}


def _family_values(rows, main, second):
    """Values of the comparison of families."""
    values = {}
    for line in table_9(rows, main, second).rows:
        metric = line["metric"]
        if line["rho"] is None or line["backbones"] < len(BACKBONES):
            continue
        for name in ("rho", "p_t", "p_exact"):
            values[f"family_{name}/{metric}"] = _rounded(line[name])
        for family in ("first", "second"):
            for backbone, rank in ranks_of(line[f"ranking_{family}"]):
                values[f"rank_{family}/{metric}/{backbone}"] = rank
    for line in family_differences(rows, main, second).rows:
        increase, difference = line["fvu_difference"], line["sparse_probing_difference"]
        values[f"fvu_increase/{line['backbone']}"] = increase
        values[f"probing_decrease/{line['backbone']}"] = None if difference is None else -difference
    dead = family_differences(
        [row for row in rows if row["expansion_factor"] == _MATCHED_EXPANSION], main, second
    )
    for line in dead.rows:
        for side in ("first", "second"):
            share = line[f"dead_{side}"]
            values[f"dead_{side}/{line['backbone']}"] = None if share is None else 100 * share
    saes = len(headlines(rows, "fvu", second))
    missed = len(not_converged(rows, (second,)).rows)
    return values | ({"saes/second": saes, "converged/second": saes - missed} if saes else {})


def ranks_of(ranking):
    """(backbone, rank) in a ranking of Table 9, where equal ones stand as `clip = siglip`."""
    place = 1
    for group in ranking.split(", "):
        equal = group.split(" = ")
        yield from ((backbone, place) for backbone in equal)
        place += len(equal)


def _across_backbones(values):
    """Correlations over all five backbones: of metrics with tasks, of raw performance with lift."""

    def of_five(prefix):
        found = {b: values.get(f"{prefix}/{b}") for b in BACKBONES}
        return None if None in found.values() else found

    results = {}
    for task in GROUPS["tasks"]:
        raw, lift = of_five(f"raw/{task}"), of_five(f"lift/{task}")
        if raw and lift:
            results["lift_", task] = spearman(list(raw.values()), list(lift.values()))
        for name, scores in ((task, raw), (f"probing_{task}", of_five(f"probing/{task}"))):
            for metric in PAPER_METRICS:
                if scores and (ranks := of_five(f"rank/{metric}")):
                    results["", f"{metric}/{name}"] = correlate(ranks, scores)
    return {
        f"{prefix}{statistic}/{place}": _rounded(getattr(result, statistic))
        for (prefix, place), result in results.items()
        if result.rho is not None
        for statistic in ("rho", "p_t", "p_exact")
    }


def _rounded(statistic):
    """Differences of sums of squares of ranks leave the last digits of ρ to chance."""
    return round(statistic, 12)
