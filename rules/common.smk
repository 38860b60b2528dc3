# What the rules share: the study that the config describes, and small functions of it.

import atexit
import functools
import gc
import os
import sys
from pathlib import Path

from visae.backbones.loaders import LOADERS
from visae.base import fingerprints, repository
from visae.base.errors import UserError
from visae.base.paths import FEATURE_FILES, INTERVENTION_FILES, MATCH_FILES, RAW, SAE_FILES
from visae.base.paths import Paths, place
from visae.images import inventory
from visae.evals.shelf import EVALS, entry_name, null_results, titles
from visae.images.layouts import LAYOUTS, labels_of, shares_of
from visae.plan import partitions, queue
from visae.pretraining.paradigms import PARADIGMS
from visae.products import PRODUCTS, sources
from visae.products.product import KINDS
from visae.sae.families import FAMILIES
from visae.study import arms, checks, jobs, roles, targets
from visae.study.config import write_config
from visae.study.study import Study, faults

repository.prepare_jobs()

try:
    STUDY = Study(config)
except UserError:
    # What `--config` says stands in no file.
    files = () if workflow.config_settings.config else workflow.configfiles
    sentences = [config_files.located(sentence, files) for sentence in faults(config)]
    raise Refusal("\n".join(sentences)) from None

# Scripts find extensions by the config as Snakemake hands it to them.
if "extensions" in config:
    config["extensions"] = STUDY.config["extensions"]

# The paths of rules: with `<results>`, and the wildcards backbone and layer where no place is given.
PATHS = Paths()

# Skip garbage collection at exit: it takes more than a second after a large plan.
atexit.register(gc.freeze)


ANY_BACKBONE = "[a-z][a-z0-9_]*"


wildcard_constraints:
    backbone=ANY_BACKBONE,
    layer=r"\d+",
    sae="[a-z0-9_.-]+",
    dataset="[a-z][a-z0-9_]*",
    split="[A-Za-z0-9_]+",
    shard=r"\d{5}",


# Hashes of what a rule runs; computed once, since every job of a large plan asks for them.
code = functools.cache(fingerprints.of_code)
entry_code = functools.cache(fingerprints.of_entry)


def rule_name(*parts):
    """The name of a rule, of several: sweep `a` on data set `b_c` is not `a_b` on `c`."""
    return jobs.apart("_".join(parts), {rule.name for rule in workflow.rules})


# ---------------------------------------------------------------- paths of several files


def cache_path(split):
    """The joined cache of a split."""
    return PATHS.cache(split.name)


def cache_paths(splits):
    """The joined caches of `splits`."""
    return [cache_path(split) for split in splits]


def raw_paths(splits):
    """Reductions of the raw activations of `splits`."""
    return [PATHS.reductions(RAW, split.name) for split in splits]


def sae_weights(names):
    """The SAEs called `names` as inputs: their weights, since one job writes all files of an SAE."""
    return [PATHS.sae(name) for name in names]


def reduction_paths(names, splits):
    """Reductions of `splits` by the SAEs called `names`, split by split."""
    return [PATHS.reductions(name, split.name) for split in splits for name in names]


def ranking_paths(names, datasets):
    """Feature rankings of `datasets` for the SAEs called `names`, data set by data set."""
    return [PATHS.rankings(name, dataset) for dataset in datasets for name in names]


def raw_probe_paths(datasets):
    """Probes on the raw features of `datasets`."""
    return [PATHS.raw_probe(dataset) for dataset in datasets]


def index_paths(splits):
    """Indices of `splits`."""
    return [PATHS.index(split.name) for split in splits]


def class_paths(splits):
    """The classes of the data sets of `splits`, split by split."""
    return [PATHS.classes(split.dataset) for split in splits]


def score_paths(metrics, sweep=None, suffix="json"):
    """Scores for `metrics` of every SAE of the study, or of one sweep."""
    return [
        PATHS.metric(sae.name, metric, suffix, sae.place)
        for metric in metrics
        for chosen in STUDY.sweeps.values()
        if sweep in (None, chosen) and metric in chosen.metrics
        for sae in STUDY.saes(chosen)
    ]


def shipped(path):
    """A file of the repository as an input, from whatever folder Snakemake runs in.

    Its content decides, by a parameter (`content`), and not when it was checked out.
    """
    return ancient(os.path.relpath(Path(workflow.basedir, path).resolve(), os.path.realpath(".")))


def content(path):
    """The hash of a file of the repository."""
    return fingerprints.of_file(Path(workflow.basedir, path))


# ---------------------------------------------------------------- inputs of tables and figures

PROBE_SPLIT = PATHS.probe_split(STUDY.evaluation.dataset)


def downstream_paths():
    """Every downstream result of the study."""
    sources = {
        (place, name): None
        for sweep in STUDY.downstream_sweeps
        for place in sweep.places
        for name in [RAW, *sweep.sae_names()]
    }
    return [PATHS.task(name, task, place) for place, name in sources for task in STUDY.tasks()]


# ---------------------------------------------------------------- tables and figures

# Product → why the study lacks what it is about.
NOT_MADE = {
    name: reason
    for name, product in PRODUCTS.entries().items()
    if (reason := product.missing(STUDY)) is not None
}

# What the study has of each kind: {name: entry}.
MADE = {
    kind: {
        name: product
        for name, product in PRODUCTS.entries().items()
        if product.kind == kind and name not in NOT_MADE
    }
    for kind in KINDS
}


def product_paths(kind, *views):
    """The files of all products of a kind, or those of some views."""
    return [
        path
        for name, product in MADE[kind].items()
        for view, path in product.files(name, PATHS).items()
        if view in (views or KINDS[kind].views)
    ]


# ---------------------------------------------------------------- config lookups


def image_folder(dataset):
    """The folder of a data set as an input, if the workflow writes it; else it must be there."""
    entry = STUDY.config["datasets"][dataset]

    def folder(wildcards):
        if entry["generated"]:
            return PATHS.data()
        if not os.path.isdir(entry["root"]):
            others = [
                f"datasets.{name}.root ({other['root']!r})"
                for name, other in STUDY.config["datasets"].items()
                if name != dataset and not (other["generated"] or os.path.isdir(other["root"]))
            ]
            raise Refusal(
                f"config: datasets.{dataset}.root is {entry['root']!r}, which is not a folder; "
                f"put the data set there (layout {entry['layout']}, see docs/data.md) or change "
                "the path" + (f". Nor are {', '.join(others)}" if others else "")
            )
        tell_changes(dataset)
        return []

    return folder


@functools.cache
def tell_changes(dataset):
    """Say on the terminal what of a data set has changed since it was indexed."""
    entry, known = STUDY.config["datasets"][dataset], STUDY.paths.inventory(dataset)
    indexing = f"index_{dataset}"
    taken_in = not workflow.is_main_process or indexing in workflow.dag_settings.forcerun
    if taken_in or not os.path.exists(known):
        return
    lists = LAYOUTS[entry["layout"]].lists
    try:
        entries = inventory.read(known)
    except UserError as error:
        print(f"Whether datasets.{dataset} has changed cannot be told: {error}.", file=sys.stderr)
        return
    if found := inventory.changes(entry["root"], entries, lists):
        print(
            f"datasets.{dataset} has changed since it was indexed: {inventory.described(found)}. The "
            f"index and what was made of it stand. `--forcerun {indexing}`, added to the command, takes the changes in "
            "(docs/data.md).",
            file=sys.stderr,
        )


def local_weights(wildcards):
    """The backbone's weights as an input, where they are a local file or folder."""
    return weights_file(wildcards.backbone)


def weights_file(name):
    """The same of the backbone called `name`."""
    try:
        checks.check_weights(STUDY, name)
    except UserError as error:
        raise Refusal(str(error)) from None
    weights = STUDY.weights(name)
    return [] if weights in ("pretrained", "random") else weights


def settings(*keys):
    """Part of the config, as narrow as a rule needs it, for its params."""
    value = STUDY.config
    for key in keys:
        value = value[key]
    return value


def split_and_root(split):
    """The name of a split, and the folder of its images."""
    return split.name, settings("datasets", split.dataset, "root")


def backbone_settings(wildcards):
    """What of a backbone's entry decides its activations."""
    return STUDY.backbone_settings(wildcards.backbone)


def loader_code(wildcards):
    """`code_of_loader` of the backbone that a job is for."""
    return code_of_loader(wildcards.backbone)


def code_of_loader(name):
    """Hashes of what computes the backbone `name`, imported by name and so unseen by `code`.

    Its loader, and the one whose library's `implementation` it is to have.
    """
    computed = STUDY.backbone_settings(name)
    hashed = entry_code(LOADERS, computed["loader"])
    if "implementation" in computed:
        return [hashed, entry_code(LOADERS, computed["implementation"])]
    return hashed


def paradigm_code(wildcards):
    """The same of the paradigm by which a backbone is pretrained."""
    return entry_code(PARADIGMS, STUDY.backbones[wildcards.backbone]["pretraining"]["objective"])


def family_code(specs):
    """Hashes of the families of SaeSpecs, which are imported by name as well."""
    families = sorted({spec.family for spec in specs})
    return [entry_code(FAMILIES, family) for family in families]


def alternatives(names):
    """A wildcard constraint that matches `names` only."""
    return "|".join(str(name) for name in names)


def at_places(layers):
    """The constraint of a backbone that only its own block matches. layers: block by backbone.

    With one of blocks beside it, a sweep at blocks 3 of `a` and 11 of `b` would have block 11 of `a`.
    """
    own = alternatives(f"{place(backbone, layer)}/" for backbone, layer in layers.items())
    return {"backbone": f"(?={own}){ANY_BACKBONE}"}


# ---------------------------------------------------------------- resources


@functools.cache
def cluster_partitions():
    """Those that the Slurm executor chooses from, asked once the run has its executor."""
    return partitions.of_workflow(workflow)


def bounded(resource, first, asked, rulename, sized):
    """What an attempt may ask for: no more than a partition of the cluster allows."""
    asking = workflow.get_rule(rulename)
    if workflow.is_local(asking) or not cluster_partitions():
        return asked
    gpus = asking.resources["gpu"].value if "gpu" in asking.resources else 0
    try:
        return partitions.bounded(
            resource, first, asked, gpus, cluster_partitions(), rulename, sized
        )
    except UserError as error:
        raise Refusal(str(error)) from None


def memory(megabytes, saes=(), raw=0, codes=0):
    """mem_mb: more on every further attempt, up to what a partition allows.

    saes: SaeSpecs of those that are held at once: 20 MB for each unit of their expansion factors
    (float32 weights, gradients and Adam's two moments at D = 768, the width of a ViT-B). raw: how
    many times the raw reductions among the inputs (float32 [N, D]) are held. codes: how many times
    the codes of one SAE are, the largest (float16 [F, N]).
    """

    weights = 20 * expansions(saes)

    def mem_mb(wildcards, input, attempt, rulename):
        held = raw * megabytes_of(input.get("raw", [])) if raw else 0
        if codes:
            by_sae = {}
            for path in input.get("reductions", []):
                by_sae.setdefault(PATHS.sae_of(path), []).append(path)
            held += codes * max(map(megabytes_of_codes, by_sae.values()), default=0)
        first, factor = megabytes + weights + held, 1.5 ** (attempt - 1)
        return bounded("mem_mb", int(first), int(first * factor), rulename, sized=raw or codes)

    return mem_mb


def minutes(number, saes=(), per_gigabyte=0):
    """runtime: `number` of minutes and one for each unit of the SAEs' expansion factors.

    Doubled on every further attempt, up to what a partition allows. 40,000 training steps of 8,192
    tokens at D = 768 are 2·10¹⁵ operations per unit, 13 s at half the rate of an A100.
    per_gigabyte: minutes for each GB of pooled codes among the inputs.
    """
    total = number + expansions(saes)

    def runtime(wildcards, input, attempt, rulename):
        read = megabytes_of_codes(input.get("reductions", [])) / 1000 if per_gigabyte else 0
        first = int(total + per_gigabyte * read)
        return bounded("runtime", first, first * 2 ** (attempt - 1), rulename, per_gigabyte)

    return runtime


def megabytes_of_codes(reductions):
    """The pooled codes (float16 [F, N]) of SAEs whose reductions are some files, at most.

    A file has N · (F / 8 + 4 · D) bytes, of bits and of reconstructions, and the active codes besides.
    """
    found = 0
    for path in reductions:
        factor = largest_factors()[PATHS.sae_of(path)]
        found += megabytes_of(path) * 2 * factor / (factor / 8 + 4)
    return found


@functools.cache
def largest_factors():
    """Name of an SAE → its expansion factor F / D, the largest of those called so."""
    factors = {}
    for sae in STUDY.saes():
        factors[sae.name] = max(factors.get(sae.name, 0), sae.spec.expansion_factor)
    return factors


def megabytes_of(files):
    """The size of one file or of several."""
    files = [files] if isinstance(files, str) else files
    return sum(map(os.path.getsize, files)) / 1e6


def expansions(specs):
    """The sum of expansion factors F / D of SaeSpecs."""
    return sum(spec.expansion_factor for spec in specs)
