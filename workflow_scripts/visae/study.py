"""The study that a config describes: which caches, SAEs and scores there are, and what needs what.

This is what the rules ask. It imports nothing heavy, because every job of a cluster run parses
the Snakefile again.
"""

from dataclasses import dataclass
from itertools import product

from visae import config as configs
from visae.errors import UserError
from visae.sae.specs import SaeSpec

METRICS = (
    "localization",
    "fvu",
    "preservation",
    "sparse_probing",
    "monosemanticity",
    "cross_domain",
    "absorption",
)

SPARSITY_KEYS = {"batchtopk": "k", "topk": "k", "jumprelu": "target_l0", "relu": "l1"}
"""What the sparsity of a family is called in a sweep's grid."""


@dataclass(frozen=True)
class Split:
    """One split of a data set; `name` is `imagenet/val`."""

    dataset: str
    split: str
    shards: int

    @property
    def name(self):
        return f"{self.dataset}/{self.split}"


@dataclass(frozen=True)
class Sweep:
    """A family of SAEs with a grid, on some backbones. `layers`: block by backbone."""

    name: str
    family: str
    layers: dict
    saes: tuple[SaeSpec, ...]
    batches: int

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


class Study:
    """A checked study. Raises UserError (one sentence) when the config is wrong.

    Attributes: `config` (with defaults), `name`, `seed`, `coarse`, `backbones` (name → entry),
    `sweeps` (name → Sweep), `training`, `evaluation` (Split), `threshold` (Split).
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
        self._check_evaluators()
        self.sweeps = {name: self._sweep(name, entry) for name, entry in config["sweeps"].items()}
        self._check_unique_saes()
        self.cross_domain = self._cross_domain()

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
            and all(s.layers[b] != self.main.layers.get(b) for b in s.backbones)
        ]
        return same[0] if same else None

    @property
    def compared_layers(self):
        """(early, late): the blocks of the early sweep and of the main one."""
        backbone = self.early.backbones[0]
        return self.early.layers[backbone], self.main.layers[backbone]

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
        """Every split that is extracted: for training, the threshold, scoring and M6."""
        used = [self.training, self.threshold, *self.encoded_splits()]
        return list(dict.fromkeys(used))

    def encoded_splits(self):
        """Every split that the SAEs encode: the evaluation split, then those of M6."""
        pairs = self.cross_domain.values()
        return list(dict.fromkeys([self.evaluation, *(split for pair in pairs for split in pair)]))

    def probe_splits(self, dataset):
        """(train, test): the splits that probes on a data set are fitted and scored on.

        On the evaluation data set both are the evaluation split, divided by `probe_split.csv`.
        """
        if dataset == self.evaluation.dataset:
            return self.evaluation, self.evaluation
        return self.cross_domain[dataset]

    def probe_datasets(self):
        """Every data set on which probes are fitted."""
        return [self.evaluation.dataset, *self.cross_domain]

    def metrics(self):
        """The metrics that this config can compute."""
        return [m for m in METRICS if m != "cross_domain" or self.cross_domain]

    def evaluators(self):
        """The backbones that are the evaluator of some backbone (M5)."""
        return sorted({entry["evaluator"] for entry in self.backbones.values()})

    def training_settings(self, sweep):
        """The keyword arguments of `TrainingSettings` for a sweep."""
        others = ("dataset", "split", "threshold_split")
        entries = {k: v for k, v in self.config["training"].items() if k not in others}
        recipe = self.config["sweeps"][sweep.name].get("recipe")
        return entries | {"seed": self.seed} | ({"jumprelu_recipe": recipe} if recipe else {})

    # ------------------------------------------------------------------ how it is cut into jobs

    def extraction_batches(self):
        """[(name, splits), …]: the splits that one extraction job writes."""
        return self._batches(self.splits())

    def encoding_batches(self):
        """[(name, splits), …]: the splits that one encoding job reads."""
        return self._batches(self.encoded_splits())

    def probe_batches(self):
        """[(name, data sets), …]: the data sets that one job ranks features or fits probes on."""
        datasets = self.probe_datasets()
        return [("all", datasets)] if self.coarse else [(name, [name]) for name in datasets]

    def scoring_batches(self):
        """[(name, metrics), …]: the metrics that one scoring job computes."""
        if self.coarse:
            return [("all", self.metrics())]
        return [(metric, [metric]) for metric in self.metrics()]

    def _batches(self, splits):
        if self.coarse:
            return [("all", splits)]
        return [(split.name.replace("/", "_"), [split]) for split in splits]

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
        return Split(dataset, split, splits[split]["shards"])

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

    def _sweep(self, name, entry):
        for backbone in entry.get("backbones", []):
            if backbone not in self.backbones:
                raise UserError(
                    f"config: sweeps.{name}.backbones names '{backbone}', which is not in "
                    f"backbones ({', '.join(self.backbones)})"
                )
        chosen = entry.get("backbones", list(self.backbones))
        layers = {b: entry.get("layer", self.backbones[b]["layer"]) for b in chosen}
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
        saes = tuple(
            SaeSpec(entry["family"], expansion_factor, sparsity)
            for expansion_factor, sparsity in product(
                entry["grid"]["expansion_factor"], entry["grid"][target]
            )
        )
        return Sweep(name, entry["family"], layers, saes, entry["batches"])

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

    def _cross_domain(self):
        settings = self.config["metrics"]["cross_domain"]
        pairs = {}
        for dataset, pair in settings["datasets"].items():
            where = f"metrics.cross_domain.datasets.{dataset}"
            pairs[dataset] = tuple(
                self._split({"dataset": dataset, "split": pair[part]}, f"{where}.{part}")
                for part in ("train", "test")
            )
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
