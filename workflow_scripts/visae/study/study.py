"""The study that a config describes: which splits, sweeps, SAEs, metrics and tasks there are.

The rules ask it. It imports nothing heavy, because every job of a cluster run parses the
Snakefile again.
"""

from typing import Any

from visae.base.errors import UserError
from visae.base.paths import Paths
from visae.evals import sections
from visae.evals.shelf import EVALS
from visae.sae.families import FAMILIES
from visae.study import build, checks
from visae.study import config as configs
from visae.study.parts import Sae
from visae.study.storage import storages


class Study:
    """A checked study. Raises UserError (one sentence) when the config is wrong.

    Attributes: `config` (with defaults), `name`, `seed`, `paths` (of its results), `backbones`
    (name → entry), `training`, `evaluation`, `held_out` (Splits: SAEs are trained, scored, and
    their thresholds measured on them), `statistics` (the Split whose mean and standard deviation
    normalise what is not trained on), `cross_domain` (data set → its training and test Split),
    `sweeps` (name → Sweep), `segmentation` (the training and test Split with masks, or None),
    `downstream_sweeps` (the Sweeps that do the downstream tasks), `absent` (metric or task that is
    asked for → why it is not computed).

    check: whether its parts have to fit each other; without, `checks.problems` says what does not.
    """

    def __init__(self, config, check=True):
        self.config = config = configs.checked(config)
        self.name, self.seed = config["study"], config["seed"]
        self.paths = Paths(f"results/{self.name}")
        self.backbones = config["backbones"]
        self.training = self._split("training", "split")
        self.evaluation = self._split("evaluation", "split")
        self.held_out = self._split("training", "threshold_split", "training.threshold_split")
        own_statistics = config["evaluation"]["statistics"] == "own"
        self.statistics = self.evaluation if own_statistics else self.training
        self.cross_domain = build.cross_domain(config)
        self.segmentation = build.segmentation(config)
        self.absent = build.absent(config, self.evaluation, self.cross_domain, self.segmentation)
        self.sweeps = build.sweeps(config, self.absent)
        self.downstream_sweeps = build.downstream_sweeps(config, self.sweeps)
        if check:
            checks.check(self)

    def _split(self, section, key, where=None):
        entry = self.config[section]
        return build.split(self.config, entry["dataset"], entry[key], where or section)

    # ---------------------------------------------------------------- SAEs

    def saes(self, sweep=None):
        """Every SAE of the study, sweep by sweep, or those of one sweep."""
        return [
            Sae(chosen.name, backbone, layer, spec)
            for chosen in ([sweep] if sweep else self.sweeps.values())
            for backbone, layer in chosen.layers.items()
            for spec in chosen.saes
        ]

    def training_settings(self, sweep):
        """The keyword arguments of `TrainingSettings` that decide what comes out for a sweep.

        Others are left out, so that a change of them trains and imports nothing again. Of an
        imported SAE no more than the threshold is measured.
        """
        training = self.config["training"]
        idle = {"dataset", "split", "threshold_split", "minimum_steps", "checkpoint_minutes"}
        if training["ragged_images"] is not None:
            idle.add("window_images")
        entries = {name: value for name, value in training.items() if name not in idle}
        if sweep.imported:
            used = ["threshold_images", "threshold_rule"]
            if training["threshold_rule"] == "batch_minimum":
                used.append("batch_size")
            return {name: entries[name] for name in used}
        if not any(FAMILIES[spec.family].threshold.measured for spec in sweep.saes):
            del entries["threshold_rule"]
        own = {name: self.own_settings(origin) for name, origin in sweep.origins.items()}
        own = {name: settings for name, settings in own.items() if settings}
        return entries | {"seed": self.seed, "own": own}

    def own_settings(self, sweep):
        """What a sweep of the config, by name, sets for its SAEs' training alone."""
        entry = self.config["sweeps"][sweep]
        settings = dict(entry.get("training", {}))
        if "recipe" in entry:
            settings["recipes"] = {entry["family"]: entry["recipe"]}
        return settings

    # ---------------------------------------------------------------- splits

    def splits(self, storage=None):
        """Every split that has a cache: for training, thresholds, scoring, M6 and masks.

        That of training has one in any case, with activations or without. storage: of the blocks
        that are meant; by default all.
        """
        of = [storage] if storage else storages(self)
        used = [self.training, self.held_out, *self.encoded_splits(), *(self.segmentation or ())]
        cached = [
            split for split in used if split == self.training or any(map(split.cached_in, of))
        ]
        return list(dict.fromkeys(cached))

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
        """Every data set on which probes are fitted, or those of one sweep: those with labels."""
        datasets = [self.evaluation.dataset, *self._other_domains(sweep)]
        return [name for name in datasets if self.probe_splits(name)[0].labelled]

    def _other_domains(self, sweep):
        """The data sets of M6; none for a sweep, or for a study, that is not scored on them."""
        scored = self.sweeps.values() if sweep is None else [sweep]
        read = {EVALS[metric].data for each in scored for metric in each.metrics}
        return self.cross_domain if "cross_domain" in read else {}

    # ---------------------------------------------------------------- metrics and tasks

    def metrics(self):
        """The metrics that this config can compute."""
        return [name for name in self.asked() if name not in self.absent]

    def asked(self):
        """The metrics that this config asks for, also those that it cannot compute."""
        return sections.computed(self.config)

    def tasks(self):
        """Downstream task → its name in figures, of those that this config can compute."""
        asked = build.tasks(self.config, self.cross_domain)
        return {name: label for name, label in asked.items() if name not in self.absent}

    # ---------------------------------------------------------------- backbones

    def pretrained(self):
        """The backbones that the study pretrains itself."""
        return [name for name, entry in self.backbones.items() if "pretraining" in entry]

    def weights(self, backbone):
        """Where a backbone's weights come from: `pretrained`, `random`, or a path."""
        if backbone in self.pretrained():
            return self.paths.pretraining(backbone)
        return self.backbones[backbone]["weights"]

    def backbone_settings(self, backbone) -> dict[str, Any]:
        """What of its entry decides its activations: not its label, nor its evaluator.

        An `implementation` that is the loader's own changes none.
        """
        entry = self.backbones[backbone]
        names = ("loader", "model", "seed", "image_size", "token_order", "preprocessing", "options")
        more = ("storage", "weights_part", "implementation")
        settings = {name: entry[name] for name in (*names, *more) if name in entry}
        if settings.get("implementation") == settings["loader"]:
            del settings["implementation"]
        return settings | {"weights": self.weights(backbone)}


def not_made(config):
    """A sentence for everything for which no Study can be made of a config: [] if one can.

    What its parts are is asked where the schema finds nothing.
    """
    return configs.problems(config) or list(build.problems(configs.checked(config)))


def faults(config):
    """A sentence for everything that is wrong with a config, each once.

    How parts fit each other is asked where all of them can be made.
    """
    try:
        return not_made(config) or list(checks.problems(Study(config, check=False)))
    except UserError as error:
        return [str(error)]
