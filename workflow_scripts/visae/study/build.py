"""From a checked config to the parts of a study. A name that the config does not define is refused.

Every function takes the config with its defaults and raises UserError (one sentence).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

from visae.base.errors import UserError, refusal
from visae.base.paths import Paths
from visae.evals import reads, sections
from visae.evals.shelf import EVALS, entry_name
from visae.images.layouts import LAYOUTS, labels_of
from visae.sae.families import FAMILIES
from visae.sae.specs import SaeSpec, check_own, check_recipe
from visae.study import own_saes
from visae.study.parts import Split, Sweep
from visae.study.storage import FULL, LEAN


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
    entry, kept = datasets[dataset], [FULL, LEAN]
    if entry["cache"] is False:
        kept = []
    elif entry["cache"] is None and (dataset, name) not in _read_again(config):
        kept = [FULL]
    return Split(dataset, name, splits[name]["shards"], tuple(kept), labels_of(entry, name))


def problems(config):
    """A sentence for every part that cannot be made, each once; of a sweep the first."""
    return dict.fromkeys(sentence for part in _parts(config) for sentence in refusal(part))


def _parts(config) -> Iterator[Callable[[], object]]:
    """What makes the parts of a study, each by itself."""
    training, evaluation = config["training"], config["evaluation"]
    yield partial(split, config, training["dataset"], training["split"], "training")
    yield partial(split, config, evaluation["dataset"], evaluation["split"], "evaluation")
    if training["dataset"] in config["datasets"]:
        held_out = training["dataset"], training["threshold_split"]
        yield partial(split, config, *held_out, "training.threshold_split")
    settings = config["metrics"]["cross_domain"]
    yield partial(_headline, settings)
    for dataset, names in settings["datasets"].items():
        where = f"metrics.cross_domain.datasets.{dataset}"
        yield from _splits_of_pair(config, dataset, names, where)
    if masked := (config["downstream"] or {}).get("segmentation"):
        yield from _splits_of_pair(config, masked["dataset"], masked, "downstream.segmentation")
        yield partial(segmentation, config)
    for name in config["sweeps"]:
        yield partial(_sweep, config, name, {})
    yield partial(downstream_sweeps, config, config["sweeps"])


def _splits_of_pair(config, dataset, names, where):
    """One part where the data set is unknown, else two."""
    parts = ("train", "test") if dataset in config["datasets"] else ("train",)
    return [partial(split, config, dataset, names[p], f"{where}.{p}") for p in parts]


def _read_again(config):
    """(data set, split) of those whose activations are cached with `storage: lean`, too."""
    training, evaluation = config["training"], config["evaluation"]
    found = {
        (training["dataset"], training["threshold_split"]),
        (evaluation["dataset"], evaluation["split"]),
    }
    if masked := (config["downstream"] or {}).get("segmentation"):
        found |= {(masked["dataset"], masked[part]) for part in ("train", "test")}
    return found


def sweeps(config, absent):
    """{name: Sweep} of the config; absent: as of `absent`."""
    return {name: _sweep(config, name, absent) for name in config["sweeps"]}


def tasks(config, cross_domain):
    """{task: its name in figures} that the config asks for; cross_domain: the data sets of M6.

    Raises UserError where one of them is called as another entry.
    """
    found = {}
    for name in sections.tasks_asked(config):
        if EVALS[name].each and cross_domain:
            for dataset in cross_domain:
                found[f"{name}_{dataset}"] = dataset
                if (other := entry_name(f"{name}_{dataset}")) != name:
                    raise UserError(
                        f"config: metrics.cross_domain.datasets.{dataset} has a task {name} that "
                        f"is called as one of '{other}' would be; rename the data set or '{other}'"
                    )
        else:
            found[name] = EVALS[name].title
    return found


def absent(config, evaluation, cross_domain, segmentation):
    """{metric or task that is asked for: why it is not computed}.

    evaluation: a Split. cross_domain: data set → its Splits. segmentation: two Splits, or None.
    """
    splits = [evaluation, *(s for pair in cross_domain.values() for s in pair)]
    named = {split.name: split for split in [*splits, *(segmentation or ())]}
    data = reads.Data(
        evaluation=evaluation.name,
        cross_domain={d: [split.name for split in pair] for d, pair in cross_domain.items()},
        segmentation=tuple(split.name for split in segmentation or ()),
    )
    found = {}
    for name in [*sections.computed(config), *tasks(config, cross_domain)]:
        read = [named[split] for split in reads.splits_of(name, data)]
        if reason := _lacking(EVALS[entry_name(name)], config, read, found):
            found[name] = reason
    return found


def _lacking(entry, config, read, absent):
    """Why an eval that reads some Splits is not computed, or None; absent: those found before."""
    if not read:
        return f"needs data sets: metrics.{entry.data} names none"
    for split in read if entry.labels else ():
        if not split.labelled:
            of_all = config["datasets"][split.dataset]
            whole = not any(labels_of(of_all, name) != "none" for name in of_all["splits"])
            where = f"data set {split.dataset}" if whole else f"the split {split.name}"
            return f"needs labels: {where} has none"
    others = [other for needs in entry.of.values() for other in needs.after if other in absent]
    return absent[others[0]] if others else None


def cross_domain(config):
    """{data set: (training Split, test Split)} of M6."""
    settings = config["metrics"]["cross_domain"]
    _headline(settings)
    return {
        dataset: _pair(config, dataset, pair, f"metrics.cross_domain.datasets.{dataset}")
        for dataset, pair in settings["datasets"].items()
    }


def _headline(settings):
    """UserError unless the headline of M6 is of one of its data sets."""
    headline, datasets = settings["headline"], settings["datasets"]
    if datasets and headline not in datasets:
        raise UserError(
            f"config: metrics.cross_domain.headline is {headline!r}, which is not one of its "
            f"datasets ({', '.join(datasets)})"
        )


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
    _refuse_unknown(config, names, "downstream.sweeps", "sweeps")
    return [all_sweeps[name] for name in names]


def _pair(config, dataset, names, where):
    """The Splits that `names` calls `train` and `test`."""
    return tuple(split(config, dataset, names[p], f"{where}.{p}") for p in ("train", "test"))


def _sweep(config, name, absent):
    entry, where = config["sweeps"][name], f"sweeps.{name}"
    if "saes" in entry:
        return _own(config, name, absent)
    for key in ("family", "grid"):
        if key not in entry:
            raise UserError(
                f"config: {where} lacks the key '{key}'; add it, or name SAEs that you have in saes"
            )
    published = entry.get("published", {})
    _refuse_unknown(config, entry.get("backbones", []), f"{where}.backbones", "backbones")
    for key in ("backbones", "recipe", "training"):
        if published and key in entry:
            raise UserError(
                f"config: {where} has both published and {key}; published SAEs are not trained, "
                f"and name their backbones themselves, so take {key} out"
            )
    _refuse_unknown(config, published, f"{where}.published", "backbones")
    if "recipe" in entry:
        check_recipe(entry["family"], entry["recipe"], f"config: {where}.recipe")
    chosen = list(published) or entry.get("backbones", list(config["backbones"]))
    saes = _grid(entry, where)
    for spec in saes:
        check_own(spec, entry.get("training", {}), f"config: {where}.training: ")
    return _made(config, name, absent, chosen, saes, published=published)


def _own(config, name, absent):
    """The Sweep of SAEs that people have and name themselves."""
    entry, where = config["sweeps"][name], f"sweeps.{name}"
    for key in ("published", "grid", "recipe", "training", "variant"):
        if key in entry:
            raise UserError(
                f"config: {where} has both saes and {key}; what is in saes was trained elsewhere, "
                f"and its files say what it is, so take {key} out"
            )
    chosen = entry.get("backbones", list(config["backbones"]))
    _refuse_unknown(config, chosen, f"{where}.backbones", "backbones")
    paths, reading = Paths(f"results/{config['study']}"), entry.get("reading", {})
    folders, widths = ({backbone: {} for backbone in chosen} for _ in range(2))
    saes = []
    for sae, said in entry["saes"].items():
        at, found = f"{where}.saes.{sae}", {}
        for backbone, layer in _layers(config, entry, chosen).items():
            folder = own_saes.folder_of(said, backbone, chosen, at)
            folders[backbone][sae] = folder
            inspected = paths.inspected(name, f"{backbone}-layer{layer}")
            asked = sae, said, folder, layer, reading, inspected, at
            found[backbone], widths[backbone][sae] = own_saes.spec(*asked)
        if len(set(found.values())) > 1:
            kinds = ", ".join(f"{spec.configuration} on {b}" for b, spec in found.items())
            raise UserError(f"config: {at} is {kinds}: give them names of their own")
        saes.extend(set(found.values()))
    families = sorted({spec.family for spec in saes})
    if len(families) > 1:
        raise UserError(
            f"config: {where}.saes holds SAEs of the families {' and '.join(families)}; make a "
            "sweep for each family"
        )
    if entry.get("family", families[0]) != families[0]:
        raise UserError(
            f"config: {where}.family is {entry['family']}, but its SAEs are of family "
            f"{families[0]}; take it out"
        )
    return _made(config, name, absent, chosen, tuple(saes), folders=folders, widths=widths)


def _made(config, name, absent, backbones, saes, published=None, folders=None, widths=None):
    """The Sweep `name` of SaeSpecs on some backbones; the rest is what its entry says."""
    entry = config["sweeps"][name]
    asked = entry.get("metrics", sections.asked(config))
    asked = [metric for metric in sections.computed(config) if metric in asked]
    return Sweep(
        name,
        saes[0].family,
        _layers(config, entry, backbones),
        entry.get("storage", config["storage"]),
        saes,
        entry["batches"],
        tuple(metric for metric in asked if metric not in absent),
        {metric: absent[metric] for metric in asked if metric in absent},
        published or {},
        folders or {},
        {spec.name: name for spec in saes},
        widths or {},
    )


def _layers(config, entry, backbones):
    """Block by backbone."""
    return {b: entry.get("layer", config["backbones"][b]["layer"]) for b in backbones}


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
        saes = [SaeSpec(family, factor, sparsity) for factor, sparsity in sizes]
        if variant := entry.get("variant"):
            saes = [replace(spec, label=f"{spec.configuration}_{variant}") for spec in saes]
        return tuple(saes)
    except UserError as error:
        # With the sparsity 1 a spec is refused for its expansion factor alone.
        of_factors = any(refusal(SaeSpec, family, x, 1) for x in grid["expansion_factor"])
        key = "expansion_factor" if of_factors else target
        raise UserError(f"config: {where}.grid.{key}: {error}") from None


def _refuse_unknown(config, names, where, section):
    """UserError with all of `names` that a section of the config has not."""
    known = config[section]
    if unknown := [name for name in names if name not in known]:
        said = " and ".join(f"'{name}'" for name in unknown)
        verb = "is" if len(unknown) == 1 else "are"
        raise UserError(
            f"config: {where} names {said}, which {verb} not in {section} ({', '.join(known)})"
        )
