"""How the work of a study is cut into jobs. `granularity` decides here, and nowhere else.

Fine: one job per step, data set, metric or task, so that a cluster works on many at once. Coarse:
one job per step, because on a laptop the start of a job costs more than its work. Unless said
otherwise, a function returns [(name, what one job does), …], and there is one such job for each
backbone and block.
"""

import itertools
from dataclasses import replace

from visae.base import fingerprints
from visae.study import roles
from visae.study.storage import LEAN, storages

LONGEST_NAME = 100

OF_BLOCKS = "_blocks((_[0-9]+(_[a-z]+)?)+)"
"""What ends the name of an extraction of several blocks, behind that of its splits: a pattern."""


def trained_together(study):
    """The sweeps as they are trained: Sweeps, each of one or several sweeps of the config.

    In coarse granularity, and where activations to train on are computed, the SAEs of a block are
    trained from one pass, whatever they are scored on. Those that were trained elsewhere stand
    alone.
    """
    return _groups(
        study,
        lambda sweep: None,
        shared=lambda sweep: not study.training.cached_in(sweep.storage),
    )


def encoded_together(study, cached):
    """The same of encoding, of SAEs of a block that encode the same splits.

    cached: whether those with a cache are meant. Each sweep reads them by itself.
    """
    return _groups(
        study,
        lambda sweep: tuple(study.encoded_splits(sweep)),
        shared=lambda sweep: not cached and sweep.storage == LEAN,
    )


def scored_together(study):
    """The same of scoring: in coarse granularity SAEs of a block that have the same metrics."""
    return _groups(study, lambda sweep: sweep.metrics, shared=lambda sweep: False)


def training(sweep, groups):
    """The SaeSpecs of a sweep whose SAEs are trained in one pass over the cache.

    groups: all that are trained together, of which it is one; none of their names is a part's.
    """
    if sweep.imported:
        return []
    size = -(-len(sweep.saes) // sweep.training_jobs)
    parts = [sweep.saes[start : start + size] for start in range(0, len(sweep.saes), size)]
    if len(parts) == 1:
        return [(sweep.name, sweep.saes)]
    names = {group.name for group in groups}
    return [
        (apart(f"{sweep.name}_{i + 1}_of_{len(parts)}", names), part)
        for i, part in enumerate(parts)
    ]


def by_storage(study, batches):
    """[(name, splits, storages)]: the jobs of each value of `storage` that the study's blocks have.

    batches: function from one to [(name, splits)]. What is the same for several is one job. Where
    others are left, the name of a later one ends with its storage, or a number (`apart`).
    """
    found = {}
    for storage in storages(study):
        for name, splits in batches(storage):
            _, _, those = found.setdefault(tuple(splits), (name, splits, []))
            those.append(storage)
    taken, named = {name for name, _, _ in found.values()}, []
    for name, splits, those in found.values():
        if any(name == other for other, _, _ in named):
            name = apart(f"{name}_{those[0]}", taken)
            taken.add(name)
        named.append((name, splits, those))
    return named


def extraction(study):
    """The splits whose shards are written and joined together.

    A split of several shards stands alone. The splits of a data set that are one shard each go
    together. Of a block those are written that have a cache there.
    """
    return _by_dataset(study, study.splits(), sharded_apart=True)


def extracted_alike(study, splits):
    """[(storages, splits), …]: which of `splits` have a cache at blocks of these storages.

    Storages with which the same are there, and the activations of the same are kept, go together.
    """
    groups = {}
    for storage in storages(study):
        own = [split for split in study.splits(storage) if split in splits]
        if own:
            kept = tuple((split, split.cached_in(storage)) for split in own)
            groups.setdefault(kept, ([], own))[0].append(storage)
    return list(groups.values())


def shards_apart(study, splits):
    """Whether every shard of `splits`, which are joined together, is extracted by its own job."""
    return len(splits) == 1 and not _coarse(study)


def extracted_with(study, splits, storage):
    """All splits that are extracted where `splits` are, of blocks of a `storage`."""
    together = [part for _, part in extraction(study) if set(part) & set(splits)]
    return [split for part in together for split in part if split in study.splits(storage)]


def encoding(study, sweep=None, storage=None):
    """The caches that SAEs of a sweep encode together, or that are reduced without an SAE.

    storage: by default the sweep's.
    """
    return _passes(study, sweep, storage, cached=True)


def streaming(study, sweep=None, storage=None):
    """The same of splits without a cache."""
    return _passes(study, sweep, storage, cached=False)


def reduced_with(study, splits):
    """All splits whose raw activations are reduced where those of `splits` are.

    In coarse granularity all of them, because one job fits the probes of all data sets.
    """
    return study.encoded_splits() if _coarse(study) else splits


def probing(study):
    """The data sets on which probes of raw features are fitted together."""
    datasets = study.probe_datasets()
    if _coarse(study):
        return [("all", datasets)] if datasets else []
    return [(name, [name]) for name in datasets]


def ranking(study, sweep):
    """The data sets on which a sweep's features are ranked together.

    Those of M6 go together, because nothing reads one of them alone.
    """
    datasets, own = study.probe_datasets(sweep), study.evaluation.dataset
    others = [name for name in datasets if name != own]
    of_own = [name for name in datasets if name == own]
    parts = [(own, of_own), (apart("cross_domain", {own}), others)]
    parts = [("all", datasets)] if _coarse(study) else parts
    return [(name, part) for name, part in parts if part]


def evaluation(study, evals, together):
    """The metrics, or the downstream tasks, that are computed together; `together` names them."""
    if _coarse(study):
        return [(together, tuple(evals))] if evals else []
    return [(name, (name,)) for name in evals]


def auditing(study):
    """The backbones whose features one job looks up for Figure 5: one job per part, in all."""
    backbones = list(roles.main(study).backbones)
    return [("all", backbones)] if _coarse(study) else [(name, [name]) for name in backbones]


def paging(study):
    """The SAEs whose pages one job writes, in one part each: those of a backbone, or all."""
    by_backbone = {}
    for sae in roles.on_pages(study):
        by_backbone.setdefault("all" if _coarse(study) else sae.backbone, []).append(sae)
    return list(by_backbone.items())


def matching(study):
    """The pairs of SAEs whose features one job matches: those of two backbones, or all."""
    by_backbones = {}
    for left, right in roles.matched(study):
        name = "all" if _coarse(study) else f"{left.backbone}_and_{right.backbone}"
        by_backbones.setdefault(name, []).append((left, right))
    return list(by_backbones.items())


def editing(study):
    """The SAEs whose features one job edits, in one part each: those of a backbone, or all."""
    by_backbone = {}
    for sae in sorted(roles.edited(study), key=lambda sae: sae.backbone):
        by_backbone.setdefault("all" if _coarse(study) else sae.backbone, []).append(sae)
    return list(by_backbone.items())


def _coarse(study):
    return study.config["granularity"] == "coarse"


def _groups(study, key, shared):
    """The sweeps, those of a block and a `key` as one where they share a pass.

    shared: function from a sweep to whether it does so in fine granularity, too.
    """
    groups = {}
    for sweep in study.sweeps.values():
        together = _coarse(study) or shared(sweep)
        alone = None if together and not sweep.imported else sweep.name
        same = (frozenset(sweep.layers.items()), key(sweep), alone)
        groups.setdefault(same, []).append(sweep)
    taken, together = set(study.sweeps), []
    for group in groups.values():
        name = group[0].name if len(group) == 1 else apart(_joined([s.name for s in group]), taken)
        taken.add(name)
        together.append(_together(group, name))
    return together


def _together(sweeps, name):
    """One Sweep of the SAEs of several sweeps on the same activations, with a name.

    It has as many training jobs as the one with most, so that none holds more SAEs than theirs
    would together.
    """
    return replace(
        sweeps[0],
        name=name,
        saes=tuple(spec for sweep in sweeps for spec in sweep.saes),
        training_jobs=max(sweep.training_jobs for sweep in sweeps),
        metrics=tuple(dict.fromkeys(metric for sweep in sweeps for metric in sweep.metrics)),
        origins={name: origin for sweep in sweeps for name, origin in sweep.origins.items()},
    )


def _passes(study, sweep, storage, cached):
    """The splits that are encoded in a pass, of those that are cached or of the others."""
    storage = storage or (sweep.storage if sweep else study.config["storage"])
    splits = study.encoded_splits(sweep)
    return _by_dataset(study, [s for s in splits if s.cached_in(storage) == cached])


def _joined(names):
    """One name of several, short enough for file names, which have 255 bytes at most."""
    joined = "_and_".join(names)
    if len(joined) <= LONGEST_NAME:
        return joined
    return f"{names[0]}_and_{len(names) - 1}_more_{fingerprints.of_bytes(joined.encode())}"


def _by_dataset(study, splits, sharded_apart=False):
    """`splits` by data set, or all together in coarse granularity."""
    coarse, groups = _coarse(study), {}
    for split in splits:
        own = split.name if sharded_apart and split.shards > 1 else split.dataset
        groups.setdefault("all" if coarse else own, []).append(split)
    named, datasets = {}, {name for name, group in groups.items() if len(group) > 1}
    for name, group in groups.items():
        whole = coarse or name in datasets
        named[name if whole else apart(_as_word(group[0].name), datasets | named.keys())] = group
    return list(named.items())


def apart(name, taken):
    """`name`, or with a number behind it: data sets `x` and `x_train` may both have splits."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _as_word(split_name):
    """The name of a split as a part of a file's."""
    return split_name.replace("/", "_")
