"""How metrics and tasks are cut into jobs, and what of the study each job depends on."""

from dataclasses import dataclass

from visae.base.paths import RAW as RAW_SOURCE
from visae.evals import sections
from visae.evals.entry import RAW, SAES
from visae.evals.reads import FROM_SPACES
from visae.evals.shelf import EVALS, dataset_of, entry_name
from visae.study import jobs, roles


@dataclass(frozen=True)
class EvalJob:
    """Evals that one job computes, at every place of a source of features.

    source, batch: names of both, for the rule. sources: SAE → (its spec's text, its sweep);
    `RAW_SOURCE` → two None for a backbone's own features. layers: block by backbone; None: wherever
    there are raw features.
    evals: names. variant: of a metric, or "".
    """

    source: str
    batch: str
    sources: dict
    layers: dict | None
    evals: tuple
    variant: str = ""

    @property
    def work(self):
        """Source and batch, for file names: a sweep may be called as raw features are."""
        of_sweep = self.source == RAW_SOURCE and self.layers is not None
        # No name has a hyphen.
        return f"{self.source}{'-saes' if of_sweep else ''}-{self.batch}"

    @property
    def needs(self):
        """{eval: its `Needs`}"""
        kind = RAW if RAW_SOURCE in self.sources else SAES
        entries = {name: EVALS[entry_name(name)] for name in self.evals}
        if self.variant:
            return {name: entry.variants[self.variant] for name, entry in entries.items()}
        return {name: entry.of[kind] for name, entry in entries.items()}

    @property
    def reads(self):
        """All that its evals read."""
        return {read for needs in self.needs.values() for read in needs.reads}


def eval_jobs(study):
    """Every `EvalJob` of a study: metrics, tasks, then the variants of metrics."""
    for group in jobs.scored_together(study):
        for batch, metrics in jobs.evaluation(study, group.metrics, "metrics"):
            yield EvalJob(group.name, batch, _sources(group), group.layers, metrics)
    for batch, tasks in jobs.evaluation(study, study.tasks(), "tasks"):
        yield EvalJob(RAW_SOURCE, batch, {RAW_SOURCE: (None, None)}, None, tasks)
        for sweep in study.downstream_sweeps:
            yield EvalJob(sweep.name, batch, _sources(sweep), sweep.layers, tasks)
    main = roles.main(study)
    for metric in study.metrics():
        for variant in EVALS[metric].variants:
            batch = f"{metric}_{variant}"
            yield EvalJob(main.name, batch, _sources(main), main.layers, (metric,), variant)


def _sources(sweep):
    """What an `EvalJob` says of the SAEs of a Sweep."""
    return {spec.name: (spec.text, sweep.origins[spec.name]) for spec in sweep.saes}


def data_of(study, job):
    """The keyword arguments of `evals.reads.Data` for a job: what it reads, and nothing else."""
    pairs = {
        dataset: [split.name for split in pair]
        for name in job.evals
        if EVALS[entry_name(name)].data == "cross_domain"
        for dataset, pair in study.cross_domain.items()
        if dataset_of(name) in (None, dataset)
    }
    data = {"evaluation": study.evaluation.name, "cross_domain": pairs}
    if "statistics" in job.reads:
        data["statistics"] = study.statistics.name
    if "patches" in job.reads:
        dataset = study.segmentation[0].dataset
        data["segmentation"] = [split.name for split in study.segmentation]
        data["root"] = study.config["datasets"][dataset]["root"]
    return data


def spaces_of(study, job, backbone):
    """{backbone: layer} of the embeddings that a job reads for the SAEs of `backbone`."""
    names = []
    if "every_embedding" in job.reads:
        names = every_space(study)
    elif job.reads & set(FROM_SPACES):
        names = [study.backbones[backbone]["evaluator"]]
    return {name: study.backbones[name]["layer"] for name in names}


def evaluator_of(study, job, backbone):
    """The backbone whose space gives the headline, if a job reads embeddings; else None."""
    return study.backbones[backbone]["evaluator"] if job.reads & set(FROM_SPACES) else None


def every_space(study):
    """The backbones of the main sweep and their evaluators."""
    main = roles.main(study).backbones
    evaluators = (study.backbones[name]["evaluator"] for name in main)
    return list(dict.fromkeys([*main, *filter(None, evaluators)]))


def of_moran(study):
    """The settings of the pass over activations that computes Moran's I, by its argument.

    They are those of the first metric that reads it (M1).
    """
    reading = [name for name in study.metrics() if "moran" in EVALS[name].of[SAES].reads]
    own = sections.settings_of(reading[0], study.config)
    return {name: own[name] for name in ("minimum_active", "variance_floor")}


def settings_of(study, job):
    """{eval: its settings}"""
    return {name: sections.settings_of(name, study.config) for name in job.evals}
