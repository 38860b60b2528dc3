# Reductions and caches → results: one JSON document per eval, a metric or a downstream task, and
# source of features. What each reads and takes is said in its entry, visae/evals/<name>/entry.py.

from visae.base.paths import PLACE
from visae.evals import reads
from visae.study import evals

for batch, datasets in jobs.probing(STUDY):

    rule:
        name:
            f"fit_raw_probes_{batch}"
        input:
            raw=raw_paths([STUDY.probe_splits(dataset)[0] for dataset in datasets]),
            split=PROBE_SPLIT if STUDY.evaluation.labelled else [],
        output:
            probes=raw_probe_paths(datasets),
        log:
            f"<logs>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/fit_raw_probes/{{backbone}}-layer{{layer}}-{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            gpu=1,
            mem_mb=memory(6000, raw=4),
            runtime=minutes(120),
        params:
            splits={dataset: STUDY.probe_splits(dataset)[0].name for dataset in datasets},
            evaluation=STUDY.evaluation.dataset,
            code=code("fit_raw_probes"),
        message:
            f"Fitting the probes on raw features of {{wildcards.backbone}} ({batch})"
        script:
            "../workflow_scripts/fit_raw_probes.py"


def eval_inputs(job):
    """The inputs of an `EvalJob`; those in an evaluator's space depend on the backbone."""

    def of(wildcards=None):
        spaces = evals.spaces_of(STUDY, job, wildcards.backbone) if wildcards else None
        return reads.inputs(job.needs, job_data(job), job.sources, PATHS, PLACE, spaces)

    found = of()
    if "embeddings" in found:
        found["embeddings"] = lambda wildcards: of(wildcards)["embeddings"]
    return found


def job_data(job):
    """The `Data` that the evals of an `EvalJob` read."""
    return reads.Data(**evals.data_of(STUDY, job))


def eval_places(job):
    """The wildcards of an `EvalJob`: without layers, wherever there are raw features."""
    return {} if job.layers is None else at_places(job.layers)


def spaces(job):
    """The embedding spaces of an `EvalJob`, by wildcards."""
    return lambda wildcards: evals.spaces_of(STUDY, job, wildcards.backbone)


def evaluator(job):
    """The evaluator of an `EvalJob`, by wildcards."""
    return lambda wildcards: evals.evaluator_of(STUDY, job, wildcards.backbone)


def most(job, name):
    """The largest of what the evals of an `EvalJob` need of something."""
    return max(getattr(needs, name) for needs in job.needs.values())


for job in evals.eval_jobs(STUDY):

    rule:
        name:
            rule_name("evaluate", job.source, job.batch)
        input:
            **eval_inputs(job),
        output:
            **reads.outputs(job.evals, job.sources, PATHS, PLACE, job.variant),
        log:
            f"<logs>/evaluate/{job.work}-{{backbone}}-layer{{layer}}.log",
        benchmark:
            f"<benchmarks>/evaluate/{job.work}-{{backbone}}-layer{{layer}}.tsv"
        wildcard_constraints:
            **eval_places(job),
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            gpu=int(most(job, "gpu")),
            mem_mb=memory(
                most(job, "megabytes"), raw=most(job, "raw_held"), codes=most(job, "codes_held")
            ),
            runtime=minutes(most(job, "minutes"), per_gigabyte=most(job, "minutes_per_gigabyte")),
        params:
            sources=job.sources,
            evals=job.evals,
            variant=job.variant,
            settings=evals.settings_of(STUDY, job),
            data=evals.data_of(STUDY, job),
            spaces=spaces(job),
            evaluator=evaluator(job),
            seed=STUDY.seed,
            code=[code("evaluate"), *(entry_code(EVALS, entry_name(name)) for name in job.evals)],
        message:
            f"Evaluating {job.batch} of {job.source} on {{wildcards.backbone}}"
        script:
            "../workflow_scripts/evaluate.py"
