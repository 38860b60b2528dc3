"""What claims are judged on: numbers by key, from a run or from the paper's print.

Keys are paths whose last part, or next to last, is a backbone by the *paper's* name, so that the
same rule reads both: `share/fvu/backbone` (η²), `score/fvu/clip` (mean over the main sweep),
`rank/fvu/clip` (1 = best), `raw/dtd/clip` (performance of raw features), `rho/fvu/dtd` (turned so
that positive means that the better backbones are better at the task). What is unknown is absent.
"""

import csv
import statistics
from dataclasses import dataclass, field

from visae.claims.quantities import correlate
from visae.statistics import spearman
from visae.tables.downstream import codes_lift, task_values
from visae.tables.family import family_differences, not_converged, table_9
from visae.tables.paper import table_3
from visae.tables.published import rank_order, read_published
from visae.tables.scores import HEADLINE, METRIC_LABELS, headlines
from visae.tables.summaries import backbone_means, layer_comparison

PAPER_PARADIGMS = {
    "self-distillation": "dinov2",
    "image-text contrast (softmax)": "clip",
    "image-text contrast (sigmoid)": "siglip",
    "supervised": "deit",
    "masked reconstruction": "mae",
}
"""Paradigm in the config → the backbone that stands for it in the paper."""

PAPER_TASKS = {
    "inaturalist_2021": "inaturalist",
    "cub_200_2011": "cub200",
    "dtd": "dtd",
    "ade20k": "segmentation",
}
"""Layout of a data set in the config → the paper's task on it."""

_EARLY_LAYER = 3
_MATCHED_EXPANSION = 16


@dataclass(frozen=True)
class Evidence:
    """Numbers by key, and for printed ones how far rounding may have moved them."""

    values: dict
    rounding: dict = field(default_factory=dict)
    printed: bool = False

    @property
    def source(self):
        return "the paper's own printed numbers" if self.printed else "this run"


@dataclass(frozen=True)
class Roles:
    """Who in a run plays which part of the paper. Build it with `Roles.of`."""

    main: str
    """Sweep of the 60 SAEs."""
    jumprelu: str | None
    """Sweep of the other family, if any."""
    early: str | None
    """Sweep of an earlier layer, if any."""
    backbones: dict
    """The run's backbone → the paper's."""
    tasks: dict
    """The run's data set → the paper's task."""

    @classmethod
    def of(cls, config):
        """Roles by paradigm, layout and family, from a checked config.

        The first sweep is the main one. A paradigm that several backbones share is played by the
        one with the paper's own name, else by the first in raster order: a permuted control arm
        never stands for its paradigm.
        """
        sweeps = config["sweeps"]
        main, *others = sweeps
        backbones = {}
        for paradigm, paper_name in PAPER_PARADIGMS.items():
            candidates = [
                name
                for name, entry in config["backbones"].items()
                if entry["paradigm"] == paradigm and entry["token_order"] == "raster"
            ]
            if candidates:
                chosen = paper_name if paper_name in candidates else candidates[0]
                backbones[chosen] = paper_name
        return cls(
            main=main,
            jumprelu=next((s for s in others if sweeps[s]["family"] == "jumprelu"), None),
            early=next((s for s in others if "layer" in sweeps[s]), None),
            backbones=backbones,
            tasks={
                name: PAPER_TASKS[entry["layout"]]
                for name, entry in config["datasets"].items()
                if entry["layout"] in PAPER_TASKS
            },
        )


def from_run(rows, roles, raw_coherence=None, downstream=None, seed=42):
    """Evidence from a run.

    `rows` are those of `scores.csv`, `roles` say who stands for whom. `raw_coherence` is as for
    `table_4`, `downstream` are the rows of `downstream_table`; both may be absent.
    """
    paper_names = roles.backbones
    rows = [
        row | {"backbone": paper_names[row["backbone"]]}
        for row in rows
        if row["backbone"] in paper_names
    ]
    values = {}
    for name, without in (("share", ()), ("share_without_mae", ("mae",))):
        for line in table_3(rows, roles.main, without, seed).rows:
            for part in ("backbone", "configuration", "residual"):
                values[f"{name}/{line['metric']}/{part}"] = line[f"eta2_{part}"]
    for line in backbone_means(rows, roles.main).rows:
        values[f"score/{line['metric']}/{line['backbone']}"] = line["mean"]
        values[f"rank/{line['metric']}/{line['backbone']}"] = line["rank"]
    for backbone in paper_names.values():
        own = [r for r in rows if r["sweep"] == roles.main and r["backbone"] == backbone]
        values |= _backbone_values(own, backbone, roles.tasks)
    values |= _downstream_values(downstream or [], roles)
    for backbone, summary in (raw_coherence or {}).items():
        if backbone in paper_names:
            values[f"raw_moran/{paper_names[backbone]}"] = summary["mean"]
            values[f"raw_z/{paper_names[backbone]}"] = summary["z"]
            values[f"null/{paper_names[backbone]}"] = summary["null"]
    if roles.jumprelu:
        values |= _family_values(rows, roles.main, roles.jumprelu)
    if roles.early:
        for line in layer_comparison(rows, roles.early, roles.main).rows:
            key = f"{line['metric']}/{line['backbone']}"
            values |= {f"early/{key}": line["early"], f"late/{key}": line["late"]}
    values = {key: value for key, value in values.items() if value is not None}
    return Evidence(values | _derived(values))


def _backbone_values(rows, backbone, tasks):
    """Values of one backbone's SAEs in the main sweep."""
    readings = {}
    for row in rows:
        if row["value"] is not None:
            readings.setdefault((row["metric"], row["reading"]), []).append(row["value"])

    def mean(metric, reading):
        found = readings.get((metric, reading))
        return statistics.fmean(found) if found else None

    zs = [abs(z) for z in readings.get(("localization", "z"), [])]
    dead = readings.get(("fvu", "dead_fraction"), [])
    values = {
        f"null/{backbone}": mean("localization", "null"),
        f"iqr/{backbone}": mean("localization", "iqr"),
        f"z_smallest/{backbone}": min(zs, default=None),
        f"z_largest/{backbone}": max(zs, default=None),
        f"within_class/{backbone}": mean("monosemanticity", "within_class"),
        f"between_class/{backbone}": mean("monosemanticity", "between_class"),
        f"m5_raw/{backbone}": mean("monosemanticity", "raw"),
        f"m5_baseline/{backbone}": mean("monosemanticity", "baseline"),
        f"dead_smallest/{backbone}": 100 * min(dead) if dead else None,
        f"dead_largest/{backbone}": 100 * max(dead) if dead else None,
        f"rho_within/{backbone}": _within(rows),
    }
    for minimum in (1, 5, 20):
        reading = f"queen_minimum_{minimum}"
        values[f"moran_minimum_{minimum}/{backbone}"] = mean("localization", reading)
    for metric, reading in readings:
        if metric == "absorption" and reading.startswith("absorbed_"):
            setting = reading.removeprefix("absorbed_").replace("_beta_", "/beta_")
            values[f"absorbed/{setting}/{backbone}"] = mean(metric, reading)
    for dataset, task in tasks.items():
        raw = mean("cross_domain", f"{dataset}_accuracy_raw")
        codes = next((r for m, r in readings if r.startswith(f"{dataset}_accuracy_codes")), None)
        area = next((r for m, r in readings if r.startswith(f"{dataset}_auc_codes")), None)
        kept = readings.get(("cross_domain", f"{dataset}_preservation"), [])
        values |= {
            f"raw/{task}/{backbone}": raw,
            f"codes/{task}/{backbone}": codes and mean("cross_domain", codes),
            f"probing/{task}/{backbone}": area and mean("cross_domain", area),
            f"kept/{task}/{backbone}": statistics.fmean(kept) if kept else None,
            f"kept_std/{task}/{backbone}": statistics.stdev(kept) if len(kept) > 1 else None,
        }
    return values


def _within(rows):
    """|ρ| of FVU and preservation over the SAEs of one backbone."""
    sides = [
        {r["sae"]: r["value"] for r in rows if (r["metric"], r["reading"]) == (metric, HEADLINE)}
        for metric in ("fvu", "preservation")
    ]
    shared = sorted(set(sides[0]) & set(sides[1]))
    rho = spearman(*([side[sae] for sae in shared] for side in sides)).rho
    return None if rho is None else abs(rho)


def _downstream_values(rows, roles):
    """Performance of raw features and of codes on every task of the paper."""
    names = {"retrieval": "retrieval", "segmentation": "segmentation"}
    names |= {f"classification_{dataset}": task for dataset, task in roles.tasks.items()}
    values = {}
    for task, scores in task_values(rows, roles.main).items():
        for backbone, score in scores.items():
            if task in names and backbone in roles.backbones:
                values[f"raw/{names[task]}/{roles.backbones[backbone]}"] = score
    for line in codes_lift(rows, roles.main).rows:
        if line["task"] in names and line["backbone"] in roles.backbones:
            key = f"codes/{names[line['task']]}/{roles.backbones[line['backbone']]}"
            values[key] = line["codes_mean"]
    return values


def _family_values(rows, main, second):
    """Values of the comparison of families."""
    values = {}
    for line in table_9(rows, main, second).rows:
        metric = next(m for m, label in METRIC_LABELS.items() if label == line["metric"])
        if line["rho"] is not None:
            for family, ranking in (("first", line["ranking_first"]),
                                    ("second", line["ranking_second"])):  # fmt: skip
                for place, backbone in enumerate(ranking.split(", "), start=1):
                    values[f"rank_{family}/{metric}/{backbone}"] = place
    for line in family_differences(rows, main, second).rows:
        for name in ("fvu", "sparse_probing"):
            values[f"family_{name}/{line['backbone']}"] = line[f"{name}_difference"]
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


def from_published(path):
    """Evidence from the numbers that the paper prints (`resources/published_values.csv`).

    Rankings are Table 9's; means, where printed, come from §5.
    """
    published, half_units = read_published(path), _half_units(path)
    values, rounding = {}, {}

    def take(prefix, key):
        for name, entry in published.items():
            if name.startswith(prefix):
                evidence_key = key(*name.removeprefix(prefix).split("/"))
                values[evidence_key] = entry.value
                rounding[evidence_key] = half_units[name]

    take("table_3/", lambda metric, part: f"share/{metric}/{part.removeprefix('eta2_')}")
    for backbone in PAPER_PARADIGMS.values():
        take(f"table_4/{backbone}/", lambda name, b=backbone: f"{_TABLE_4[name]}/{b}")
        take(
            f"table_6/{backbone}/",
            lambda task, name, b=backbone: f"{_TABLE_6[name]}/{task}/{b}",
        )
    take("table_7/", lambda *parts: "/".join(("absorbed", *parts)))
    for task in ("retrieval", "dtd", "cub200", "segmentation"):
        take(f"table_8/{task}/lift/", lambda b, t=task: f"lift_rounded/{t}/{b}")
        take(f"text/lift/{task}/", lambda b, t=task: f"lift/{t}/{b}")
        take(f"text/raw/{task}/", lambda b, t=task: f"raw/{t}/{b}")
        take(f"text/codes/{task}/", lambda b, t=task: f"codes/{t}/{b}")
    for backbone in PAPER_PARADIGMS.values():
        for metric in ("localization", "fvu", "preservation", "absorption", "sparse_probing"):
            if f"text/{metric}/{backbone}" in published:
                take(f"text/{metric}/{backbone}", lambda _, m=metric, b=backbone: f"score/{m}/{b}")
    take("text/localization/iqr/", lambda backbone: f"iqr/{backbone}")
    take("text/spearman/", lambda metric, task: f"rho/{metric}/{task}")
    for metric in METRIC_LABELS:
        for family, name in (("batchtopk", "first"), ("jumprelu", "second")):
            for place, backbone in enumerate(rank_order(published, metric, family), start=1):
                values[f"rank_{name}/{metric}/{backbone}"] = place
        values |= {
            key.replace("rank_first", "rank"): values[key]
            for key in list(values)
            if key.startswith(f"rank_first/{metric}/")
        }
    # FVU is printed as it is, where lower is better; here positive means agreement.
    for key in [key for key in values if key.startswith("rho/fvu/") and "preservation" not in key]:
        values[key] = -values[key]
    return Evidence(values, rounding, printed=True)


def _half_units(path):
    """Half a unit of the last printed decimal of each published value, by key."""
    with open(path, newline="", encoding="utf-8") as handle:
        return {
            row["key"]: 0.5 * 10.0 ** -len(row["value"].partition(".")[2])
            for row in csv.DictReader(handle)
        }


_TABLE_4 = {"mean": "raw_moran", "null": "null", "z": "raw_z"}
_TABLE_6 = {
    "raw": "raw",
    "recon_mean": "reconstructed",
    "recon_std": "reconstructed_std",
    "preservation_mean": "kept",
    "preservation_std": "kept_std",
}


def _derived(values):
    """Correlations with tasks and codes' lift, from the other values of a run."""
    tasks, ranks = {}, {}
    for key, value in values.items():
        kind, *rest = key.split("/")
        if kind in ("raw", "rank"):
            of_kind = tasks if kind == "raw" else ranks
            of_kind.setdefault(rest[0], {})[rest[1]] = value
    derived = {}
    for task, scores in tasks.items():
        for metric in ranks:
            rho = correlate(ranks[metric], scores).rho
            if rho is not None:
                derived[f"rho/{metric}/{task}"] = rho
        for backbone, raw in scores.items():
            codes = values.get(f"codes/{task}/{backbone}")
            if codes is not None and raw:
                derived[f"lift/{task}/{backbone}"] = codes / raw
    return derived
