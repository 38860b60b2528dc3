"""Do downstream tasks with a backbone's own features: one JSON document per task."""

from visae.base.devices import take_device
from visae.base.job import run
from visae.evals.provenance import provenance
from visae.evals.task_inputs import Files, evaluate_raw, open_patches, settings_of
from visae.evals.task_results import source, write_result


def body(snakemake):
    params, given, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    device = take_device()
    with open_patches(
        given.caches, given.indices, given.classes, params.root, params.head, snakemake.threads
    ) as patches:
        files = Files(
            evaluation=params.evaluation,
            cross_domain=params.cross_domain,
            probe_split=given.split,
            raw=dict(zip(params.splits, given.raw, strict=True)),
            raw_probes=dict(zip(params.cross_domain, given.raw_probes, strict=True)),
            training=given.training,
            patches=patches,
        )
        for task, output in zip(params.tasks, snakemake.output.results, strict=True):
            outcomes, inputs = evaluate_raw(task, files, params.seed, device)
            described = source(wildcards.backbone, int(wildcards.layer))
            write_result(
                output,
                task,
                outcomes,
                described,
                provenance(params.code, inputs, settings_of(task, params.seed, params.head)),
            )


run(body, snakemake)  # noqa: F821
