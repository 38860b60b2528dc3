"""How the work of a study is cut into jobs. `granularity` decides here, and nowhere else.

Fine: one job per step, data set, metric or task, so that a cluster works on many at once. Coarse:
one job per step, because on a laptop the start of a job costs more than its work. Unless said
otherwise, a function returns [(name, what one job does), …], and there is one such job for each
backbone and block.
"""

from dataclasses import replace

from visae.base import fingerprints
from visae.study import roles

LONGEST_NAME = 100


def sweep_groups(study):
    """The sweeps as they are worked on: Sweeps, each of one or several sweeps of the config.

    In coarse granularity, and where no activations are kept to train on, sweeps on the same
    activations are trained, encoded and scored together.
    """
    if not _coarse(study) and study.training.cached:
        return list(study.sweeps.values())
    groups = {}
    for sweep in study.sweeps.values():
        alone = sweep.name if sweep.imported else None
        key = (frozenset(sweep.layers.items()), sweep.metrics, sweep.training_jobs, alone)
        groups.setdefault(key, []).append(sweep)
    return [_together(group) for group in groups.values()]


def training(sweep):
    """The SaeSpecs of a sweep whose SAEs are trained in one pass over the cache."""
    if sweep.imported:
        return []
    size = -(-len(sweep.saes) // sweep.training_jobs)
    parts = [sweep.saes[start : start + size] for start in range(0, len(sweep.saes), size)]
    if len(parts) == 1:
        return [(sweep.name, sweep.saes)]
    return [(f"{sweep.name}_{i + 1}_of_{len(parts)}", part) for i, part in enumerate(parts)]


def extraction(study):
    """The splits that are extracted and joined together.

    A split of several shards stands alone. The splits of a data set that are one shard each go
    together.
    """
    return _by_dataset(study, study.splits(), sharded_apart=True)


def measuring(study):
    """The training split, where its activations are measured but not kept."""
    return [] if study.training.cached else [study.training]


def measurements(study):
    """[(batch, [split])]: the jobs of `measuring`."""
    return [(_as_word(split.name), [split]) for split in measuring(study)]


def shards_apart(study, splits):
    """Whether every shard of `splits`, which are joined together, is extracted by its own job."""
    return len(splits) == 1 and not _coarse(study)


def extracted_with(study, splits):
    """All splits that are extracted where `splits` are."""
    together = [part for _, part in extraction(study) if set(part) & set(splits)]
    return [split for part in together for split in part]


def encoding(study, sweep=None):
    """The caches that SAEs of a sweep encode together, or that are reduced without an SAE."""
    return _by_dataset(study, [s for s in study.encoded_splits(sweep) if s.cached])


def streaming(study, sweep=None):
    """The same of splits without a cache."""
    return _by_dataset(study, [s for s in study.encoded_splits(sweep) if not s.cached])


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
    parts = {own: [name for name in datasets if name == own], "cross_domain": others}
    parts = {"all": datasets} if _coarse(study) else parts
    return [(name, part) for name, part in parts.items() if part]


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


def _together(sweeps):
    """One Sweep of the SAEs of several sweeps on the same activations."""
    return replace(
        sweeps[0],
        name=_joined([sweep.name for sweep in sweeps]),
        saes=tuple(spec for sweep in sweeps for spec in sweep.saes),
        origins={name: origin for sweep in sweeps for name, origin in sweep.origins.items()},
    )


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
    return [
        (name if coarse or len(group) > 1 else _as_word(group[0].name), group)
        for name, group in groups.items()
    ]


def _as_word(split_name):
    """The name of a split as a part of a file's."""
    return split_name.replace("/", "_")
