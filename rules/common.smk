# What the rules share: the study that the config describes, and small functions of it.

import atexit
import functools
import gc
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

from visae.base import fingerprints
from visae.base.errors import UserError
from visae.sae.exchange.hub import on_hub
from visae.sae.specs import SaeSpec
from visae.study.study import Study

try:
    STUDY = Study(config)
except UserError as error:
    raise WorkflowError(str(error)) from None


# As it ends, Python looks for garbage several times, half a second long after a large plan; what is
# frozen it leaves out.
atexit.register(gc.freeze)


wildcard_constraints:
    backbone="[a-z][a-z0-9_]*",
    layer=r"\d+",
    sae="[a-z0-9_.-]+",
    dataset="[a-z][a-z0-9_]*",
    split="[A-Za-z0-9_]+",
    shard=r"\d{5}",


# Hashes of what a rule runs; computed once, since every job of a large plan asks for them.
code = functools.cache(fingerprints.of_code)
metric_code = functools.cache(fingerprints.of_metric)
loader_hash = functools.cache(fingerprints.of_loader)

SAE_FILES = ["model.safetensors", "config.yaml", "training.jsonl"]


# ---------------------------------------------------------------- paths of several files


def cache_path(split):
    """The joined cache of a split, with the wildcards backbone and layer."""
    return f"<results>/activations/{{backbone}}/layer{{layer}}/{split.name}.h5"


def cache_paths(splits):
    """The joined caches of `splits`."""
    return [cache_path(split) for split in splits]


def shard_paths(split):
    """Shards of a split's cache, with the wildcards backbone and layer."""
    folder = f"<results>/activations/{{backbone}}/layer{{layer}}/{split.name}"
    return [f"{folder}/shard-{i:05d}-of-{split.shards:05d}.h5" for i in range(split.shards)]


def raw_paths(splits):
    """Reductions of the raw activations of `splits`."""
    return [f"<results>/reductions/{{backbone}}/layer{{layer}}/raw/{s.name}.h5" for s in splits]


def sae_paths(names, files=SAE_FILES):
    """Files of the SAEs called `names`, with the wildcards backbone and layer."""
    folder = "<results>/saes/{{backbone}}/layer{{layer}}/{sae}/{file}"
    return expand(folder, sae=names, file=files)


def sae_weights(names):
    """The SAEs called `names` as inputs: their weights, since one job writes all files of an SAE."""
    return sae_paths(names, ["model.safetensors"])


def reduction_paths(names, splits):
    """Reductions of `splits` by the SAEs called `names`, split by split."""
    return [
        f"<results>/reductions/{{backbone}}/layer{{layer}}/{name}/{split.name}.h5"
        for split in splits
        for name in names
    ]


def ranking_paths(names, datasets):
    """Feature rankings of `datasets` for the SAEs called `names`, data set by data set."""
    return [
        f"<results>/rankings/{{backbone}}/layer{{layer}}/{name}/{dataset}.h5"
        for dataset in datasets
        for name in names
    ]


def raw_probe_paths(datasets):
    """Probes on the raw features of `datasets`."""
    return [f"<results>/probes/{{backbone}}/layer{{layer}}/{d}.npz" for d in datasets]


def index_paths(splits):
    """Indices of `splits`."""
    return [f"<results>/index/{split.name}.csv" for split in splits]


def sae_folders(kind, sweep=None):
    """The folder below `kind` (saes, metrics) of every SAE of the study, or of one sweep."""
    return [
        f"<results>/{kind}/{sae.backbone}/layer{sae.layer}/{sae.spec.name}"
        for sae in STUDY.saes()
        if sweep in (None, STUDY.sweeps[sae.sweep])
    ]


def score_paths(metrics, sweep=None, suffix="json"):
    """Scores for `metrics` of every SAE of the study, or of one sweep."""
    return [
        f"{folder}/{metric}.{suffix}"
        for metric in metrics
        for chosen in STUDY.sweeps.values()
        if sweep in (None, chosen) and metric in chosen.metrics
        for folder in sae_folders("metrics", chosen)
    ]


# ---------------------------------------------------------------- inputs of scores

PROBE_SPLIT = f"<results>/index/{STUDY.evaluation.dataset}/probe_split.csv"

# Metrics that fit probes: on ImageNet and iNaturalist hours of work for a CPU, minutes for a GPU.
PROBED_METRICS = {"preservation", "sparse_probing", "cross_domain", "absorption"}

# How many times a metric holds the codes of an SAE, where that is much.
CODES_HELD = {"sparse_probing": 2, "cross_domain": 1}

# Metrics that also write per-feature, per-class or per-task values to `{metric}.npz`.
METRICS_WITH_ARRAYS = [m for m in STUDY.metrics() if m not in ("preservation", "cross_domain")]


def probed(metrics):
    """Whether any of `metrics` fits probes."""
    return bool(PROBED_METRICS & set(metrics))


def score_splits(metrics):
    """The splits whose reductions `metrics` read."""
    on_evaluation = [STUDY.evaluation] if set(metrics) - {"cross_domain"} else []
    pairs = STUDY.cross_domain.values() if "cross_domain" in metrics else []
    return on_evaluation + [split for pair in pairs for split in pair]


def score_datasets(metrics):
    """The data sets whose rankings and raw probes `metrics` read."""
    return list(dict.fromkeys(split.dataset for split in score_splits(metrics)))


def score_inputs(names, metrics):
    """The inputs that `metrics` need for the SAEs called `names`, by kind."""

    def needed_by(*some):
        return bool(set(metrics) & set(some))

    splits, datasets = score_splits(metrics), score_datasets(metrics)
    inputs = {"reductions": reduction_paths(names, splits)}
    if needed_by("fvu", "preservation", "sparse_probing", "cross_domain", "absorption"):
        inputs["raw"] = raw_paths(splits)
    if needed_by("preservation", "cross_domain"):
        inputs["raw_probes"] = raw_probe_paths(datasets)
    if needed_by("sparse_probing", "cross_domain", "absorption"):
        inputs["rankings"] = ranking_paths(names, datasets)
    if needed_by("preservation", "sparse_probing", "absorption"):
        inputs["split"] = PROBE_SPLIT
    if needed_by("absorption"):
        inputs["classes"] = f"<results>/index/{STUDY.evaluation.dataset}/classes.csv"
    if needed_by("monosemanticity"):
        inputs["embeddings"] = evaluator_embeddings
    return inputs


def embeddings_of(backbone):
    """The raw reductions that hold a backbone's image embeddings, at its own layer."""
    layer = STUDY.backbones[backbone]["layer"]
    return f"<results>/reductions/{backbone}/layer{layer}/raw/{STUDY.evaluation.name}.h5"


def evaluator_embeddings(wildcards):
    """The embeddings of the backbone in whose space M5 is scored."""
    return [embeddings_of(evaluator(wildcards))]


def evaluator(wildcards):
    """The name of that backbone."""
    return STUDY.backbones[wildcards.backbone]["evaluator"]


# ---------------------------------------------------------------- inputs of downstream tasks


def classified_datasets(tasks):
    """The data sets of M6 that `tasks` classify, with their (training, test) splits."""
    pairs = STUDY.cross_domain.items()
    return {d: pair for d, pair in pairs if f"classification_{d}" in tasks}


def raw_task_splits(tasks):
    """The splits whose raw reductions `tasks` read: classification has its probes already."""
    tested = [test for _, test in classified_datasets(tasks).values()]
    return [STUDY.evaluation] * ("retrieval" in tasks) + tested


def sae_task_splits(tasks):
    """The splits whose reductions by SAEs `tasks` read."""
    pairs = classified_datasets(tasks).values()
    return [STUDY.evaluation] * ("retrieval" in tasks) + [split for pair in pairs for split in pair]


def segmentation_splits(tasks):
    """The splits whose patches `tasks` read."""
    return list(STUDY.segmentation) if "segmentation" in tasks else []


def task_inputs(tasks):
    """The inputs that raw features and SAEs need alike for `tasks`."""
    splits = segmentation_splits(tasks)
    return {
        "split": PROBE_SPLIT if "retrieval" in tasks else [],
        "caches": cache_paths(splits),
        "indices": index_paths(splits),
        "classes": f"<results>/index/{splits[0].dataset}/classes.csv" if splits else [],
    }


def raw_task_inputs(tasks):
    """The inputs that `tasks` need for a backbone's own features."""
    return task_inputs(tasks) | {
        "raw": raw_paths(raw_task_splits(tasks)),
        "raw_probes": raw_probe_paths(classified_datasets(tasks)),
        "training": cache_path(STUDY.training) if segmentation_splits(tasks) else [],
    }


def sae_task_inputs(names, tasks):
    """The inputs that `tasks` need for the SAEs called `names`."""
    folder = "<results>/metrics/{{backbone}}/layer{{layer}}/{sae}/cross_domain.json"
    saes = names if segmentation_splits(tasks) else []
    return task_inputs(tasks) | {
        "reductions": reduction_paths(names, sae_task_splits(tasks)),
        "scores": expand(folder, sae=names if classified_datasets(tasks) else []),
        "saes": sae_weights(saes),
    }


def raw_task_paths(tasks):
    """What `tasks` leave behind for a backbone's own features."""
    return [f"<results>/downstream/{{backbone}}/layer{{layer}}/raw/{task}.json" for task in tasks]


def task_settings(tasks):
    """The params that raw features and SAEs need alike for `tasks`."""
    splits = segmentation_splits(tasks)
    return {
        "evaluation": STUDY.evaluation.name,
        "cross_domain": {
            dataset: [split.name for split in pair]
            for dataset, pair in classified_datasets(tasks).items()
        },
        "root": settings("datasets", splits[0].dataset, "root") if splits else None,
        "head": settings("downstream", "segmentation", "head") if splits else None,
        "seed": STUDY.seed,
    }


def downstream_paths():
    """Every downstream result of the study."""
    folders = []
    for sweep in STUDY.downstream_sweeps:
        places = [f"{backbone}/layer{layer}" for backbone, layer in sweep.layers.items()]
        folders += [f"{place}/{name}" for place in places for name in ["raw", *sweep.sae_names()]]
    return [
        f"<results>/downstream/{folder}/{task}.json"
        for folder in dict.fromkeys(folders)
        for task in STUDY.tasks()
    ]


def spaces(wildcards):
    """The evaluator, as the list of spaces of a score's `embeddings`."""
    return [evaluator(wildcards)]


# ---------------------------------------------------------------- inputs of tables and figures

EVALUATOR_OF = {name: STUDY.backbones[name]["evaluator"] for name in STUDY.main.backbones}
# The spaces in which M5 of the main sweep is scored: its backbones' own, and its evaluators'.
SPACES = list(
    dict.fromkeys([*STUDY.main.backbones, *(EVALUATOR_OF[b] for b in STUDY.main.backbones)])
)
BY_EVALUATOR = [
    f"{folder}/in_every_space/monosemanticity.json" for folder in sae_folders("metrics", STUDY.main)
]


def scores_of(*sweeps):
    """The scores of some sweeps: a figure of one sweep is to wait for no other."""
    return [f"<results>/tables/scores/{sweep.name}.csv" for sweep in sweeps]


def token_order_inputs():
    """Scores and raw reductions of the control's arms: each backbone in raster order, permuted."""
    sae = STUDY.control.sae_names()[0]
    layers = STUDY.main.layers | STUDY.control.layers
    arms = [backbone for pair in STUDY.control_arms() for backbone in pair]
    folder = "<results>/{kind}/{backbone}/layer{layer}"
    return {
        "scores": [f"<results>/metrics/{b}/layer{layers[b]}/{sae}/localization.json" for b in arms],
        "raw": [
            f"<results>/reductions/{b}/layer{layers[b]}/raw/{STUDY.evaluation.name}.h5"
            for b in arms
        ],
    }


def token_order_settings():
    """What the table and the figure of the control depend on."""
    arms = [
        {
            "arm": f"{STUDY.backbones[raster]['label']}, {order}",
            "backbone": raster,
            "token_order": order,
        }
        for raster, _ in STUDY.control_arms()
        for order in ("raster", "permuted")
    ]
    return {
        "arms": arms,
        "localization": settings("metrics", "localization"),
        "labels": labels_of(STUDY.main.backbones),
    }


# ---------------------------------------------------------------- config lookups


def image_folder(dataset):
    """The folder of a data set as an input, if the workflow writes it; else it must be there."""
    entry = STUDY.config["datasets"][dataset]

    def folder(wildcards):
        if entry["generated"]:
            return "<results>/data"
        if not os.path.isdir(entry["root"]):
            others = [
                f"datasets.{name}.root ({other['root']!r})"
                for name, other in STUDY.config["datasets"].items()
                if name != dataset and not (other["generated"] or os.path.isdir(other["root"]))
            ]
            raise WorkflowError(
                f"config: datasets.{dataset}.root is {entry['root']!r}, which is not a folder; "
                f"put the data set there (layout {entry['layout']}, see docs/data.md) or change "
                "the path" + (f". Nor are {', '.join(others)}" if others else "")
            )
        return []

    return folder


def local_weights(wildcards):
    """The backbone's weights as an input, where they are a local file or folder."""
    name = wildcards.backbone
    weights = STUDY.weights(name)
    if weights in ("pretrained", "random"):
        return []
    made_here = {STUDY.weights(other) for other in STUDY.pretrained()}
    if weights not in made_here and not os.path.exists(weights):
        raise WorkflowError(
            f"config: backbones.{name}.weights is {weights!r}, which is neither pretrained, nor "
            "random, nor a file or folder that exists; correct the path"
        )
    return weights


def settings(*keys):
    """Part of the config, as narrow as a rule needs it, for its params."""
    value = STUDY.config
    for key in keys:
        value = value[key]
    return value


def moran_settings(splits):
    """For each split the settings of Moran's I, or None where it is not computed."""
    names = ("minimum_active", "variance_floor")
    chosen = {name: settings("metrics", "localization", name) for name in names}
    return [chosen if split == STUDY.evaluation else None for split in splits]


def backbone_settings(wildcards):
    """What of a backbone's entry decides its activations (not its label or its evaluator)."""
    entry = STUDY.backbones[wildcards.backbone]
    names = ("loader", "model", "seed", "image_size", "token_order", "preprocessing", "options")
    weights = STUDY.weights(wildcards.backbone)
    return {name: entry[name] for name in names} | {"weights": weights}


def labels_of(backbones):
    """The backbones' names in figures."""
    return {name: STUDY.backbones[name]["label"] for name in backbones}


def published_source(sweep):
    """Where a backbone's published SAEs come from: a folder, or a repository on the hub."""
    return lambda wildcards: sweep.published[wildcards.backbone]


def published_folder(sweep):
    """The folder of a backbone's published SAEs, as an input."""

    def folder(wildcards):
        source = sweep.published[wildcards.backbone]
        if on_hub(source):
            return f"<results>/published/{sweep.name}/{wildcards.backbone}"
        if not os.path.isdir(source):
            raise WorkflowError(
                f"config: sweeps.{sweep.name}.published.{wildcards.backbone} is {source!r}, which is "
                "not a folder; put the SAEs there, one subfolder each (see docs/extending.md), or "
                "change the path"
            )
        return source

    return folder


def loader_code(wildcards):
    """Hash of the loader that builds a backbone: it is imported by name, unseen by `code`."""
    return loader_hash(STUDY.backbones[wildcards.backbone]["loader"])


def alternatives(names):
    """A wildcard constraint that matches `names` only."""
    return "|".join(str(name) for name in names)


# ---------------------------------------------------------------- resources


def memory(megabytes, saes=(), raw=0, codes=0):
    """mem_mb: more on every further attempt, since the queue kills what needs more.

    saes: names of the SAEs that are held at once: 20 MB for each unit of their expansion factors
    (float32 weights, gradients and Adam's two moments at D = 768, the width of a ViT-B). raw: how
    many times the raw reductions among the inputs (float32 [N, D]) are held. codes: how many times
    the reductions of one SAE are, the largest (float16 [F, N]).
    """

    def mem_mb(wildcards, input, attempt):
        held = raw * megabytes_of(input.get("raw", [])) if raw else 0
        if codes:
            by_sae = {}
            for path in input.reductions:
                by_sae.setdefault(Path(path).parts[-3], []).append(path)
            held += codes * max(map(megabytes_of, by_sae.values()))
        return int((megabytes + 20 * expansions(saes) + held) * 1.5 ** (attempt - 1))

    return mem_mb


def minutes(number, saes=(), per_gigabyte=0):
    """runtime: `number` of minutes and one for each unit of the SAEs' expansion factors.

    Doubled on every further attempt. 40,000 training steps of 8,192 tokens at D = 768 are
    2·10¹⁵ operations per unit, 13 s at half the rate of an A100. per_gigabyte: minutes for each GB
    of reductions among the inputs.
    """
    total = number + expansions(saes)

    def runtime(wildcards, input, attempt):
        read = megabytes_of(input.reductions) / 1000 if per_gigabyte else 0
        return int((total + per_gigabyte * read) * 2 ** (attempt - 1))

    return runtime


def megabytes_of(files):
    """The size of one file or of several."""
    files = [files] if isinstance(files, str) else files
    return sum(map(os.path.getsize, files)) / 1e6


def expansions(names):
    """The sum of expansion factors F / D of the SAEs called `names`."""
    return sum(SaeSpec.from_name(name).expansion_factor for name in names)
