"""From a checked config to the parts of a study. A name that the config does not define is refused.

Every function takes the config with its defaults and raises UserError (one sentence).
"""

from itertools import product

from visae.base.errors import UserError
from visae.evals import sections
from visae.evals.shelf import EVALS
from visae.images.layouts import LAYOUTS
from visae.sae.families import FAMILIES
from visae.sae.specs import SaeSpec, check_recipe
from visae.study.parts import Split, Sweep


def split(config, dataset, name, where):
    """The Split `name` of a data set; `where` is the key of the config that names it."""
    datasets = config["datasets"]
    if dataset not in datasets:
        raise UserError(
            f"config: {where} names the data set '{dataset}', which is not in datasets "
            f"({', '.join(datasets)})"
        )
    splits = datasets[dataset]["splits"]
    if name not in splits:
        raise UserError(
            f"config: {where} names the split '{name}', which is not in "
            f"datasets.{dataset}.splits ({', '.join(splits)})"
        )
    return Split(dataset, name, splits[name]["shards"], datasets[dataset]["cache"])


def sweeps(config, metrics):
    """{name: Sweep} of the config; metrics: those that the config can compute."""
    return {name: _sweep(config, name, metrics) for name in config["sweeps"]}


def metrics(config, cross_domain):
    """Metrics that the config can compute.

    cross_domain: the data sets of M6; without them nothing that reads them is computed.
    """
    return [m for m in sections.computed(config) if _has_data(m, cross_domain)]


def tasks(config, cross_domain):
    """{task: its name in figures} that the config asks for; cross_domain: as for `metrics`."""
    found = {}
    for name in sections.tasks_asked(config):
        if EVALS[name].each:
            found |= {f"{name}_{dataset}": dataset for dataset in cross_domain}
        elif _has_data(name, cross_domain):
            found[name] = EVALS[name].title
    return found


def _has_data(name, cross_domain):
    return EVALS[name].data != "cross_domain" or bool(cross_domain)


def cross_domain(config):
    """{data set: (training Split, test Split)} of M6."""
    settings = config["metrics"]["cross_domain"]
    headline, datasets = settings["headline"], settings["datasets"]
    if datasets and headline not in datasets:
        raise UserError(
            f"config: metrics.cross_domain.headline is {headline!r}, which is not one of its "
            f"datasets ({', '.join(datasets)})"
        )
    return {
        dataset: _pair(config, dataset, pair, f"metrics.cross_domain.datasets.{dataset}")
        for dataset, pair in datasets.items()
    }


def segmentation(config):
    """(training Split, test Split) with masks; None if there is no segmentation."""
    chosen = (config["downstream"] or {}).get("segmentation")
    if not chosen:
        return None
    dataset, where = chosen["dataset"], "downstream.segmentation"
    pair = _pair(config, dataset, chosen, where)
    layout = config["datasets"][dataset]["layout"]
    if not LAYOUTS[layout].masks:
        others = [name for name, entry in LAYOUTS.entries().items() if entry.masks]
        raise UserError(
            f"config: {where}.dataset is '{dataset}' of layout {layout}, which has no masks; "
            f"name a data set of layout {', '.join(others)}"
        )
    return pair


def downstream_sweeps(config, all_sweeps):
    """The Sweeps that do the downstream tasks: the first of all, then those that are named."""
    chosen = config["downstream"]
    if chosen is None:
        return []
    names = dict.fromkeys([next(iter(all_sweeps)), *chosen["sweeps"]])
    for name in names:
        _refuse_unknown(name, "downstream.sweeps", all_sweeps, "sweeps")
    return [all_sweeps[name] for name in names]


def _pair(config, dataset, names, where):
    """The Splits that `names` calls `train` and `test`."""
    return tuple(split(config, dataset, names[p], f"{where}.{p}") for p in ("train", "test"))


def _sweep(config, name, metrics):
    entry, where = config["sweeps"][name], f"sweeps.{name}"
    published = entry.get("published", {})
    for backbone in entry.get("backbones", []):
        _refuse_unknown(backbone, f"{where}.backbones", config["backbones"], "backbones")
    for key in ("backbones", "recipe"):
        if published and key in entry:
            raise UserError(
                f"config: {where} has both published and {key}; published SAEs are not "
                f"trained and name their backbones themselves, so take {key} out"
            )
    for backbone in published:
        _refuse_unknown(backbone, f"{where}.published", config["backbones"], "backbones")
    if "recipe" in entry:
        check_recipe(entry["family"], entry["recipe"], f"config: {where}.recipe")
    chosen = list(published) or entry.get("backbones", list(config["backbones"]))
    saes = _grid(entry, where)
    return Sweep(
        name,
        entry["family"],
        {b: entry.get("layer", config["backbones"][b]["layer"]) for b in chosen},
        saes,
        entry["batches"],
        tuple(m for m in metrics if m in entry.get("metrics", sections.asked(config))),
        published,
        {spec.name: name for spec in saes},
    )


def _grid(entry, where):
    """The SaeSpecs of a sweep's grid, expansion factor by expansion factor."""
    family, grid = entry["family"], entry["grid"]
    target = FAMILIES[family].sparsity.key
    if set(grid) != {"expansion_factor", target}:
        raise UserError(
            f"config: {where}.grid has the keys {', '.join(grid)}; a grid of "
            f"family {family} has expansion_factor and {target}"
        )
    sizes = product(grid["expansion_factor"], grid[target])
    try:
        return tuple(SaeSpec(family, factor, sparsity) for factor, sparsity in sizes)
    except UserError as error:
        raise UserError(f"config: {where}.grid: {error}") from None


def _refuse_unknown(name, where, known, section):
    if name not in known:
        raise UserError(
            f"config: {where} names '{name}', which is not in {section} ({', '.join(known)})"
        )
