"""The study that a config describes: which caches, SAEs and scores there are, and what needs what.

This is what the rules ask. It imports nothing heavy, because every job of a cluster run parses
the Snakefile again.
"""

import math
from dataclasses import dataclass, replace
from itertools import product

from visae.base.errors import UserError
from visae.sae.specs import SPARSITY_KEYS, SaeSpec
from visae.study import config as configs

METRICS = (
    "localization",
    "fvu",
    "preservation",
    "sparse_probing",
    "monosemanticity",
    "cross_domain",
    "absorption",
)

PAPER_DATASETS = {"cub_200_2011": "cub", "dtd": "dtd", "inaturalist_2021": "inaturalist"}
"""Layout → the paper's data set in it, by the name in the hypotheses (section 4.5)."""

LAYOUTS_WITH_MASKS = ("ade20k",)

PAPER_AUDITED = (16, 192)
"""Expansion factor and K of the SAE whose features the paper's Figure 5 shows."""


@dataclass(frozen=True)
class Split:
    """One split of a data set; `name` is `imagenet/val`."""

    dataset: str
    split: str
    shards: int
    cached: bool

    @property
    def name(self):
        return f"{self.dataset}/{self.split}"


@dataclass(frozen=True)
class Sweep:
    """A family of SAEs with a grid, on some backbones.

    layers: block by backbone. metrics: what its SAEs are scored on. published: folder by backbone
    of SAEs that are imported; empty where they are trained. origins: SAE name → sweep of the
    config, which differs from `name` where sweeps are worked on together.
    """

    name: str
    family: str
    layers: dict
    saes: tuple[SaeSpec, ...]
    batches: int
    metrics: tuple[str, ...]
    published: dict
    origins: dict

    @property
    def backbones(self):
        return tuple(self.layers)

    def sae_names(self):
        """Folder names of the SAEs, in the order of the grid."""
        return [spec.name for spec in self.saes]

    def training_batches(self):
        """The SAE names cut into `batches` jobs: [(job name, names), …]."""
        names = self.sae_names()
        size = -(-len(names) // self.batches)
        parts = [names[start : start + size] for start in range(0, len(names), size)]
        if len(parts) == 1:
            return [(self.name, names)]
        return [(f"{self.name}_{i + 1}_of_{len(parts)}", part) for i, part in enumerate(parts)]


@dataclass(frozen=True)
class Sae:
    """One SAE of the study: where it stands, and its spec."""

    sweep: str
    backbone: str
    layer: int
    spec: SaeSpec


def _check_apart(where, train, test):
    """UserError if what is fitted on a split would be scored on it."""
    if train == test:
        raise UserError(
            f"config: {where} has the split '{test.split}' for both train and test, so that probes "
            "would be scored on the images that they were fitted on; name another for one of them"
        )


def _together(sweeps):
    """One Sweep of the SAEs of several sweeps on the same activations."""
    return replace(
        sweeps[0],
        name="_and_".join(sweep.name for sweep in sweeps),
        saes=tuple(spec for sweep in sweeps for spec in sweep.saes),
        origins={name: origin for sweep in sweeps for name, origin in sweep.origins.items()},
    )


class Study:
    """A checked study. Raises UserError (one sentence) when the config is wrong.

    Attributes: `config` (with defaults), `name`, `seed`, `coarse`, `backbones` (name → entry),
    `sweeps` (name → Sweep), `training`, `evaluation` (Split), `threshold` (Split),
    `cross_domain` (data set → its training and test Split), `segmentation` (the two Splits with
    masks, or None), `downstream_sweeps` (the Sweeps that do the downstream tasks).
    """

    def __init__(self, config):
        self.config = config = configs.checked(config)
        self.name, self.seed = config["study"], config["seed"]
        self.coarse = config["granularity"] == "coarse"
        self.backbones = config["backbones"]
        self.training = self._split(config["training"], "training")
        self.evaluation = self._split(config["evaluation"], "evaluation")
        self.threshold = self._split(
            {
                "dataset": config["training"]["dataset"],
                "split": config["training"]["threshold_split"],
            },
            "training.threshold_split",
        )
        if self.evaluation == self.training:
            raise UserError(
                f"config: evaluation and training are both {self.training.name}, so that SAEs "
                "would be scored on the images that they were trained on; name another split"
            )
        self._check_evaluators()
        self._check_pretraining()
        self.cross_domain = self._cross_domain()
        self.sweeps = {name: self._sweep(name, entry) for name, entry in config["sweeps"].items()}
        self._check_unique_saes()
        self._check_control()
        self.segmentation = self._segmentation()
        self.downstream_sweeps = self._downstream_sweeps()
        self._check_streams()

    # ------------------------------------------------------------------ what there is

    @property
    def main(self):
        """The first sweep of the config, which the tables and figures of the paper are about."""
        return next(iter(self.sweeps.values()))

    @property
    def early(self):
        """The sweep that repeats the main one at another layer (Appendix D), or None."""
        others = list(self.sweeps.values())[1:]
        same = [
            s
            for s in others
            if s.family == self.main.family
            and all(s.layers[b] != self.main.layers.get(b, s.layers[b]) for b in s.backbones)
        ]
        return same[0] if same else None

    @property
    def compared_layers(self):
        """(early, late): the blocks of the early sweep and of the main one."""
        backbone = self.early.backbones[0]
        return self.early.layers[backbone], self.main.layers[backbone]

    @property
    def second_family(self):
        """The first sweep of another family than the main one (Appendix Q), or None."""
        others = [s for s in self.sweeps.values() if s.family != self.main.family]
        return others[0] if others else None

    @property
    def audited(self):
        """The SAE of the main sweep whose features Figure 5 shows: the paper's, or the nearest.

        Nearest by ratio, in expansion factor first; of two as near, the earlier in the grid.
        """

        def distance(spec):
            sizes = spec.expansion_factor, spec.sparsity
            ratios = zip(sizes, PAPER_AUDITED, strict=True)
            return [round(abs(math.log(size / paper)), 9) for size, paper in ratios]

        return min(self.main.saes, key=distance)

    @property
    def control(self):
        """The sweep whose backbones have permuted patches, or None."""
        for sweep in self.sweeps.values():
            orders = {self.backbones[b]["token_order"] for b in sweep.backbones}
            if orders == {"permuted"}:
                return sweep
        return None

    def control_arms(self):
        """[(backbone in raster order, the same permuted), …] of the control."""
        entries = {name: self._identity(name) for name in self.main.backbones}
        return [
            (raster, permuted)
            for permuted in self.control.backbones
            for raster, identity in entries.items()
            if identity == self._identity(permuted)
        ]

    def _identity(self, backbone):
        """What makes two backbones the same but for their token order."""
        keys = ("loader", "model", "seed", "image_size", "preprocessing", "options")
        entry = self.backbones[backbone]
        return [self.weights(backbone), *(entry[key] for key in keys)]

    def saes(self):
        """Every SAE of the study, sweep by sweep."""
        return [
            Sae(sweep.name, backbone, sweep.layers[backbone], spec)
            for sweep in self.sweeps.values()
            for backbone in sweep.backbones
            for spec in sweep.saes
        ]

    def layers(self, backbone):
        """The blocks of a backbone that are read: its own, then those of sweeps."""
        extra = {s.layers[backbone] for s in self.sweeps.values() if backbone in s.backbones}
        own = self.backbones[backbone]["layer"]
        return [own, *sorted(extra - {own})]

    def splits(self):
        """Every split that is extracted: for training, the threshold, scoring, M6 and masks."""
        used = [self.training, self.threshold, *self.encoded_splits(), *(self.segmentation or ())]
        return [split for split in dict.fromkeys(used) if split.cached]

    def encoded_splits(self, sweep=None):
        """Every split that SAEs encode, or those of one sweep: for scoring, then those of M6."""
        pairs = self._other_domains(sweep).values()
        return list(dict.fromkeys([self.evaluation, *(split for pair in pairs for split in pair)]))

    def probe_splits(self, dataset):
        """(train, test): the splits that probes on a data set are fitted and scored on.

        On the evaluation data set both are the evaluation split, divided by `probe_split.csv`.
        """
        if dataset == self.evaluation.dataset:
            return self.evaluation, self.evaluation
        return self.cross_domain[dataset]

    def probe_datasets(self, sweep=None):
        """Every data set on which probes are fitted, or those of one sweep."""
        return [self.evaluation.dataset, *self._other_domains(sweep)]

    def _other_domains(self, sweep):
        """The data sets of M6; none for a sweep that is not scored on them."""
        return self.cross_domain if sweep is None or "cross_domain" in sweep.metrics else {}

    def metrics(self):
        """The metrics that this config can compute."""
        return [m for m in METRICS if m != "cross_domain" or self.cross_domain]

    def tasks(self):
        """Downstream task → its name in figures; empty without the section `downstream`."""
        chosen = self.config["downstream"]
        if chosen is None:
            return {}
        tasks = {"retrieval": "Retrieval"} if chosen["retrieval"] else {}
        if self.segmentation:
            tasks["segmentation"] = "Segmentation"
        if chosen["classification"]:
            tasks |= {f"classification_{name}": name for name in self.cross_domain}
        return tasks

    def paper_datasets(self):
        """The paper's data set → the M6 data set of this study in its layout, the first if many."""
        found = {}
        for name in self.cross_domain:
            layout = self.config["datasets"][name]["layout"]
            if layout in PAPER_DATASETS:
                found.setdefault(PAPER_DATASETS[layout], name)
        return found

    def pretrained(self):
        """The backbones that the study pretrains itself."""
        return [name for name, entry in self.backbones.items() if "pretraining" in entry]

    def weights(self, backbone):
        """Where a backbone's weights come from: `pretrained`, `random`, or a path."""
        if backbone in self.pretrained():
            return f"results/{self.name}/pretraining/{backbone}/weights.safetensors"
        return self.backbones[backbone]["weights"]

    def evaluators(self):
        """The backbones that are the evaluator of some backbone (M5)."""
        return sorted({entry["evaluator"] for entry in self.backbones.values()})

    def training_settings(self, sweep):
        """The keyword arguments of `TrainingSettings` for a sweep, but for `checkpoint_minutes`.

        That decides nothing of what comes out, so a change of it is to train nothing again.
        """
        others = ("dataset", "split", "threshold_split", "checkpoint_minutes")
        entries = {k: v for k, v in self.config["training"].items() if k not in others}
        origins = (self.config["sweeps"][name] for name in dict.fromkeys(sweep.origins.values()))
        recipe = next((entry["recipe"] for entry in origins if "recipe" in entry), None)
        return entries | {"seed": self.seed} | ({"jumprelu_recipe": recipe} if recipe else {})

    # ------------------------------------------------------------------ how it is cut into jobs

    def units(self):
        """The sweeps as they are worked on, by one job per backbone and step.

        In coarse granularity, sweeps on the same activations are trained, encoded and scored
        together.
        """
        if not self.coarse:
            return list(self.sweeps.values())
        groups = {}
        for sweep in self.sweeps.values():
            alone = sweep.name if sweep.published else None
            key = (frozenset(sweep.layers.items()), sweep.metrics, sweep.batches, alone)
            groups.setdefault(key, []).append(sweep)
        return [_together(group) for group in groups.values()]

    def extraction_batches(self):
        """[(name, splits), …]: the splits that are extracted and joined together.

        A split of several shards stands alone: each shard is a job. The splits of a data set that
        are one shard each are one job.
        """
        return self._batches(self.splits(), sharded_apart=True)

    def encoding_batches(self, sweep=None):
        """[(name, splits), …]: the caches that one job encodes, or reduces without an SAE."""
        return self._batches([split for split in self.encoded_splits(sweep) if split.cached])

    def streaming_batches(self, sweep=None):
        """[(name, splits), …]: the same of splits without a cache."""
        return self._batches([split for split in self.encoded_splits(sweep) if not split.cached])

    def probe_batches(self):
        """[(name, data sets), …]: the data sets that one job fits probes of raw features on."""
        datasets = self.probe_datasets()
        return [("all", datasets)] if self.coarse else [(name, [name]) for name in datasets]

    def ranking_batches(self, sweep):
        """[(name, data sets), …]: the data sets that one job ranks a sweep's features on.

        Those of M6 are ranked together, because nothing reads one of them alone.
        """
        own, *others = self.probe_datasets(sweep)
        if self.coarse:
            return [("all", [own, *others])]
        return [(own, [own])] + ([("cross_domain", others)] if others else [])

    def scoring_batches(self, sweep):
        """[(name, metrics), …]: the metrics that one job scores a sweep's SAEs on."""
        if self.coarse:
            return [("all", sweep.metrics)]
        return [(metric, (metric,)) for metric in sweep.metrics]

    def task_batches(self):
        """[(name, tasks), …]: the downstream tasks that one job does."""
        tasks = list(self.tasks())
        if self.coarse:
            return [("all", tasks)] if tasks else []
        return [(task, [task]) for task in tasks]

    def audit_batches(self):
        """[(name, backbones), …]: the backbones whose features one job looks up for Figure 5."""
        backbones = list(self.main.backbones)
        return [("all", backbones)] if self.coarse else [(name, [name]) for name in backbones]

    def _batches(self, splits, sharded_apart=False):
        """[(name, splits), …] by data set, or all together in coarse granularity."""
        groups = {}
        for split in splits:
            own = split.name if sharded_apart and split.shards > 1 else split.dataset
            groups.setdefault("all" if self.coarse else own, []).append(split)
        return [
            (name if self.coarse or len(group) > 1 else group[0].name.replace("/", "_"), group)
            for name, group in groups.items()
        ]

    # ------------------------------------------------------------------ checks

    def _split(self, entry, where):
        dataset, split = entry["dataset"], entry["split"]
        datasets = self.config["datasets"]
        if dataset not in datasets:
            raise UserError(
                f"config: {where} names the data set '{dataset}', which is not in datasets "
                f"({', '.join(datasets)})"
            )
        splits = datasets[dataset]["splits"]
        if split not in splits:
            raise UserError(
                f"config: {where} names the split '{split}', which is not in "
                f"datasets.{dataset}.splits ({', '.join(splits)})"
            )
        return Split(dataset, split, splits[split]["shards"], datasets[dataset]["cache"])

    def _check_evaluators(self):
        for name, entry in self.backbones.items():
            evaluator = entry["evaluator"]
            if evaluator == name:
                raise UserError(
                    f"config: backbones.{name}.evaluator is '{name}' itself, which would score M5 "
                    "in the space that the SAE was trained on; name another backbone"
                )
            if evaluator not in self.backbones:
                raise UserError(
                    f"config: backbones.{name}.evaluator is '{evaluator}', which is not in "
                    f"backbones ({', '.join(self.backbones)})"
                )

    def _check_pretraining(self):
        for name in self.pretrained():
            weights = self.backbones[name]["weights"]
            if weights != "random":
                raise UserError(
                    f"config: backbones.{name} has both pretraining and weights '{weights}'; set "
                    "weights to random, where pretraining starts, or take pretraining out"
                )

    def _sweep(self, name, entry):
        for backbone in entry.get("backbones", []):
            if backbone not in self.backbones:
                raise UserError(
                    f"config: sweeps.{name}.backbones names '{backbone}', which is not in "
                    f"backbones ({', '.join(self.backbones)})"
                )
        published = entry.get("published", {})
        for key in ("backbones", "recipe"):
            if published and key in entry:
                raise UserError(
                    f"config: sweeps.{name} has both published and {key}; published SAEs are not "
                    f"trained and name their backbones themselves, so take {key} out"
                )
        for backbone in published:
            if backbone not in self.backbones:
                raise UserError(
                    f"config: sweeps.{name}.published names '{backbone}', which is not in "
                    f"backbones ({', '.join(self.backbones)})"
                )
        chosen = list(published) or entry.get("backbones", list(self.backbones))
        layers = {b: entry.get("layer", self.backbones[b]["layer"]) for b in chosen}
        if entry["family"] not in SPARSITY_KEYS:
            raise UserError(
                f"config: sweeps.{name}.family is '{entry['family']}', which does not exist; use "
                f"one of {', '.join(SPARSITY_KEYS)}"
            )
        target = SPARSITY_KEYS[entry["family"]]
        if set(entry["grid"]) != {"expansion_factor", target}:
            raise UserError(
                f"config: sweeps.{name}.grid has the keys {', '.join(entry['grid'])}; a grid of "
                f"family {entry['family']} has expansion_factor and {target}"
            )
        if "recipe" in entry and entry["family"] != "jumprelu":
            raise UserError(
                f"config: sweeps.{name}.recipe is for JumpReLU SAEs, but its family is "
                f"{entry['family']}; remove it"
            )
        try:
            saes = tuple(
                SaeSpec(entry["family"], expansion_factor, sparsity)
                for expansion_factor, sparsity in product(
                    entry["grid"]["expansion_factor"], entry["grid"][target]
                )
            )
        except UserError as error:
            raise UserError(f"config: sweeps.{name}.grid: {error}") from None
        metrics = tuple(m for m in self.metrics() if m in entry.get("metrics", METRICS))
        return Sweep(
            name,
            entry["family"],
            layers,
            saes,
            entry["batches"],
            metrics,
            published,
            origins=dict.fromkeys((spec.name for spec in saes), name),
        )

    def _check_unique_saes(self):
        seen = {}
        for sae in self.saes():
            key = (sae.backbone, sae.layer, sae.spec.name)
            if key in seen:
                raise UserError(
                    f"config: the sweeps {seen[key]} and {sae.sweep} both train {sae.spec.name} on "
                    f"{sae.backbone} at layer {sae.layer}; take it out of one of them"
                )
            seen[key] = sae.sweep

    def _check_control(self):
        """The control is read against the main sweep's SAE of the same name."""
        if self.control is None or not self.control_arms():
            return
        name = self.control.sae_names()[0]
        if name not in self.main.sae_names():
            raise UserError(
                f"config: sweeps.{self.control.name} begins with {name}, which the main sweep "
                f"'{self.main.name}' lacks, so that its permuted patches have nothing to be "
                f"compared with; take one of that sweep's grid ({', '.join(self.main.sae_names())})"
            )

    def _cross_domain(self):
        settings = self.config["metrics"]["cross_domain"]
        pairs = {}
        for dataset, pair in settings["datasets"].items():
            where = f"metrics.cross_domain.datasets.{dataset}"
            pairs[dataset] = tuple(
                self._split({"dataset": dataset, "split": pair[part]}, f"{where}.{part}")
                for part in ("train", "test")
            )
            _check_apart(where, *pairs[dataset])
        if self.evaluation.dataset in pairs:
            raise UserError(
                f"config: metrics.cross_domain.datasets names '{self.evaluation.dataset}', which "
                "is the evaluation data set; take it out"
            )
        headline = settings["headline"]
        if pairs and headline not in pairs:
            raise UserError(
                f"config: metrics.cross_domain.headline is {headline!r}, which is not one of its "
                f"datasets ({', '.join(pairs)})"
            )
        return pairs

    def _check_streams(self):
        cached = {"training": self.training, "evaluation": self.evaluation}
        if self.segmentation:
            cached["downstream.segmentation"] = self.segmentation[0]
        for where, split in cached.items():
            if not split.cached:
                raise UserError(
                    f"config: datasets.{split.dataset}.cache is false, but {where} reads this data "
                    "set's activations from a cache; set it to true"
                )
        streamed = [split.dataset for split in self.encoded_splits() if not split.cached]
        if streamed and self.config["on_bad_image"] == "skip":
            raise UserError(
                f"config: datasets.{streamed[0]}.cache is false, which goes only with "
                "on_bad_image: fail, because the number of images must be known in advance; change "
                "one of them"
            )

    def _segmentation(self):
        chosen = (self.config["downstream"] or {}).get("segmentation")
        if not chosen:
            return None
        where, dataset = "downstream.segmentation", chosen["dataset"]
        train, test = (
            self._split({"dataset": dataset, "split": chosen[part]}, f"{where}.{part}")
            for part in ("train", "test")
        )
        layout = self.config["datasets"][dataset]["layout"]
        if layout not in LAYOUTS_WITH_MASKS:
            raise UserError(
                f"config: {where}.dataset is '{dataset}' of layout {layout}, which has no masks; "
                f"name a data set of layout {', '.join(LAYOUTS_WITH_MASKS)}"
            )
        _check_apart(where, train, test)
        return train, test

    def _downstream_sweeps(self):
        chosen = self.config["downstream"]
        if chosen is None:
            return []
        names = dict.fromkeys([self.main.name, *chosen["sweeps"]])
        for name in names:
            if name not in self.sweeps:
                raise UserError(
                    f"config: downstream.sweeps names '{name}', which is not in sweeps "
                    f"({', '.join(self.sweeps)})"
                )
            if chosen["classification"] and "cross_domain" not in self.sweeps[name].metrics:
                raise UserError(
                    f"config: downstream.classification needs the metric cross_domain of the sweep "
                    f"'{name}': add it to sweeps.{name}.metrics, or set it to false"
                )
        return [self.sweeps[name] for name in names]
