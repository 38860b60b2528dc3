"""Where every result lies: the one place that knows the folders of a study.

A *place* is one block of one backbone, `clip/layer11`. The rules build their paths with the
path variable `<results>` and with wildcards; the plan and the scripts with the study's folder.
"""

import functools
from dataclasses import dataclass
from pathlib import PurePath

PLACE = "{backbone}/layer{layer}"
"""The place of a rule whose wildcards are `backbone` and `layer`."""

RAW = "raw"
"""What stands for an SAE's name where a backbone's own features are meant."""

SAE_FILES = ("model.safetensors", "config.yaml", "training.jsonl")
WEIGHTS = SAE_FILES[0]
EXPORT_FILES = (
    *("model.safetensors", "config.json"),
    *("sae_lens/sae_weights.safetensors", "sae_lens/cfg.json"),
    *("dictionary_learning/ae.pt", "dictionary_learning/config.json"),
)
OF_PLACES = (
    *("activations", "saes", "reductions", "rankings", "probes", "examples", "features"),
    *("interventions", "metrics", "downstream"),
)
"""The folders of results that have a folder for each place."""
OTHERS = (
    *(("index", "*"), ("pretraining", "*"), ("published", "*"), ("tables", "scores")),
    ("matches", "*"),
)
"""Further folders of results whose files say where they belong, and the folders below them."""
FLAT = ("tables", "figures")
"""Those without folders below them."""
CONFIG = "config.yaml"
"""The study's config, which says of which study the folder around it is."""
ROOTS = ("index", "pretraining", "activations", "saes")
"""The folders of what all results are made of."""
FEATURE_FILES = (
    *("index.html", "patches.html", "features.csv", "table.js", "examples.js", "queries.js"),
    *("card.webp", "card.json"),
)
"""The files of an SAE's pages; beside them is the folder `images`."""
MATCH_FILES = (
    *("index.html", "matches.csv", "table.js", "examples.js"),
    *("card.webp", "card.json"),
)
"""The files of the page of two SAEs; beside them is the folder `images`."""
INTERVENTION_FILES = ("index.html", "edits.js", "outcomes.json", "card.webp", "card.json")
"""The files of an SAE's interventions; beside them is the folder `images`."""
TABLE_VIEWS = ("csv", "md", "tex", "json")
FIGURE_VIEWS = ("pdf", "png")


@functools.lru_cache(4096)
def home_of(path):
    """(the folder of results that `path` lies in, the path below it); the folder may be None.

    `rankings/clip/layer11/NAME/imagenet.h5`: a moved or copied study keeps these. The place of a
    study's config has the study's name, and that of an arm the arm's: `{study}/config.yaml`. Of a
    file that lies in no folder of results the second is its name.
    """
    parts = PurePath(path).parts
    # A backbone, a data set or a folder above the study may be called `metrics` too: the one that
    # is meant has a place below it.
    known = [
        index
        for index, part in enumerate(parts[:-3])
        if part in OF_PLACES and parts[index + 2].startswith("layer")
    ]
    *_, above, folder, _ = ("", "", *parts)
    if known:
        start = known[-1]
    elif (above, folder) in OTHERS or (above, "*") in OTHERS:
        start = len(parts) - 3
    elif folder in FLAT:
        start = len(parts) - 2
    elif folder and parts[-1] == CONFIG:
        of_arm = parts[-6:-4] == (folder, "arms")  # {study}/arms/{arm}/results/{study}
        start = len(parts) - (6 if of_arm else 2)
    else:
        return None, PurePath(path).name
    return PurePath(*parts[:start]), "/".join(parts[start:])


def place(backbone, layer):
    """The place of block `layer` of `backbone`."""
    return f"{backbone}/layer{layer}"


def backbone_and_layer(place):
    """The backbone and the block of a place."""
    backbone, _, layer = place.partition("/layer")
    return backbone, int(layer)


def of_job(snakemake):
    """The `Paths` of a job's study, and the job's place: None without backbone and layer."""
    wildcards = snakemake.wildcards
    backbone, layer = (wildcards.get(name) for name in ("backbone", "layer"))
    own = place(backbone, layer) if backbone and layer else None
    return Paths(f"results/{snakemake.config['study']}"), own


@dataclass(frozen=True)
class Paths:
    """The paths below `results`: `<results>` in rules, `results/{study}` elsewhere.

    split: `Split.name`, e.g. `imagenet/val`. place: see above. sae: folder name of an SAE, or
    `RAW`. Arguments may be wildcards.
    """

    results: str = "<results>"

    def kind(self, path):
        """The folder of results that `path` is in: `activations`, `saes`, `tables` …"""
        return path.removeprefix(f"{self.results}/").partition("/")[0]

    def config(self):
        """The study's config, as it was when the study last ran."""
        return f"{self.results}/{CONFIG}"

    # ---- images

    def data(self):
        """The folder of data sets that the workflow writes itself."""
        return f"{self.results}/data"

    def index(self, split):
        """The images of a split."""
        return f"{self.results}/index/{split}.csv"

    def index_and_classes(self, split):
        """The images of a split, and the classes of its data set."""
        dataset, _, _ = split.partition("/")
        return self.index(split), self.classes(dataset)

    def classes(self, dataset):
        """The classes of a data set."""
        return f"{self.results}/index/{dataset}/classes.csv"

    def inventory(self, dataset):
        """What a data set was made of when it was indexed."""
        return f"{self.results}/index/{dataset}/inventory.tsv"

    def probe_split(self, dataset):
        """Which images of the evaluation split are held out from probes."""
        return f"{self.results}/index/{dataset}/probe_split.csv"

    # ---- backbones and activations

    def pretraining(self, backbone, file="weights.safetensors"):
        """A file of a backbone that the study pretrains: weights, `log.jsonl`, `sanity.json`."""
        return f"{self.results}/pretraining/{backbone}/{file}"

    def cache(self, split, place=PLACE):
        """The joined activation cache of a split."""
        return f"{self.results}/activations/{place}/{split}.h5"

    def shard(self, split, number, count, place=PLACE, kept=True):
        """Shard `number` of the `count` of a split's cache; `number` may be the wildcard.

        kept: whether it holds activations, or what was measured of them.
        """
        number = f"{number:05d}" if isinstance(number, int) else number
        kind = "shard" if kept else "measured"
        return f"{self.results}/activations/{place}/{split}/{kind}-{number}-of-{count:05d}.h5"

    def block_of(self, shard):
        """The block of whose activations the shard at the path `shard` is."""
        _file, _split, _dataset, layer, *_ = reversed(shard.split("/"))
        return int(layer.removeprefix("layer"))

    # ---- SAEs

    def sae(self, sae, file=WEIGHTS, place=PLACE):
        """A file of an SAE."""
        return f"{self.results}/saes/{place}/{sae}/{file}"

    def published(self, sweep, backbone="{backbone}"):
        """The folder into which published SAEs are fetched."""
        return f"{self.results}/published/{sweep}/{backbone}"

    def inspected(self, sweep, place="{backbone}-layer{layer}"):
        """What published SAEs are, read before any activation is extracted."""
        return f"{self.results}/published/{sweep}/{place}.json"

    def export(self, sae, file, place=PLACE):
        """A file of an SAE in the layout of the published checkpoints."""
        return f"{self.results}/export/{place}/{sae}/{file}"

    def resume(self, job, place=PLACE):
        """What a killed training job goes on from."""
        return f"{self.results}/resume/{job}-{place.replace('/', '-')}"

    # ---- reductions and what is made of them

    def reductions(self, sae, split, place=PLACE):
        """What one pass over a split leaves behind for an SAE, or for `RAW` features."""
        return f"{self.results}/reductions/{place}/{sae}/{split}.h5"

    def sae_of(self, reductions):
        """The SAE whose reductions the path `reductions` is."""
        _split, _dataset, sae, *_ = reversed(reductions.split("/"))
        return sae

    def backbone_of(self, reductions):
        """The backbone of the activations whose reductions the path `reductions` is."""
        _split, _dataset, _sae, _layer, backbone, *_ = reversed(reductions.split("/"))
        return backbone

    def rankings(self, sae, dataset, place=PLACE):
        """The features of an SAE, ranked for probes on a data set."""
        return f"{self.results}/rankings/{place}/{sae}/{dataset}.h5"

    def raw_probe(self, dataset, place=PLACE):
        """The probe on a backbone's own features."""
        return f"{self.results}/probes/{place}/{dataset}.npz"

    # ---- results

    def metric(self, sae, metric, suffix="json", place=PLACE, variant=""):
        """A metric of an SAE, or its arrays (`npz`). variant: a subfolder, `in_every_space/`."""
        return f"{self.results}/metrics/{place}/{sae}/{variant}{metric}.{suffix}"

    def task(self, sae, task, place=PLACE, suffix="json"):
        """A downstream task done with an SAE, or with `RAW` features; or its arrays (`npz`)."""
        return f"{self.results}/downstream/{place}/{sae}/{task}.{suffix}"

    def examples(self, sae, place=PLACE):
        """The images to which an SAE's audited features respond most."""
        return f"{self.results}/examples/{place}/{sae}.h5"

    def features(self, sae, file="index.html", place=PLACE):
        """A file of the pages of an SAE's features, or their folder `images`."""
        return f"{self.results}/features/{place}/{sae}/{file}"

    def matches(self, left, right, file="index.html"):
        """A file of the page of two SAEs' matches, or its folder `images`.

        left, right: the SAEs, as configs name them: `clip/layer11/batchtopk_16x_k192`.
        """
        pair = "+".join(sae.replace("/", "-") for sae in (left, right))
        return f"{self.results}/matches/{pair}/{file}"

    def interventions(self, sae, file="outcomes.json", place=PLACE):
        """A file of the interventions on an SAE's features, or their folder `images`."""
        return f"{self.results}/interventions/{place}/{sae}/{file}"

    def table(self, name, view="csv"):
        """A view of a table."""
        return f"{self.results}/tables/{name}.{view}"

    def scores(self, sweep=None, suffix="csv"):
        """The tidy table of all scores, or of one sweep; `origin.json` is what its rows share."""
        name = "scores" if sweep is None else f"scores/{sweep}"
        return f"{self.results}/tables/{name}.{suffix}"

    def figure(self, name, view="png"):
        """A view of a figure."""
        return f"{self.results}/figures/{name}.{view}"

    def plan(self, file):
        """A file of the plan: `plan.md`, `plan.csv`, `geometry.json`."""
        return f"{self.results}/plan/{file}"

    def benchmarks(self):
        """The folder of what each job took."""
        return f"{self.results}/benchmarks"

    def arm(self, arm):
        """The folder in which the study runs again with one setting switched."""
        return f"{self.results}/arms/{arm}"

    def of_arm(self, arm):
        """The `Paths` of an arm's results. No rule makes them."""
        return Paths(f"{self.arm(arm)}/{self.results}")

    def report(self):
        """The page to read."""
        return f"{self.results}/report/index.html"
