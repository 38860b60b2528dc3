"""Compute metrics or do tasks, with a backbone's own features or with all SAEs of a sweep.

One JSON document per eval and source. What computes is imported by name: `visae.evals`.
"""

import itertools

from visae.base import paths
from visae.base.devices import take_device
from visae.base.job import run
from visae.base.progress import counted
from visae.evals import results
from visae.evals.inputs import Job, computed, opened
from visae.evals.provenance import provenance
from visae.evals.reads import result
from visae.evals.shelf import EVALS, entry_name
from visae.evals.signed import only_defined


def body(snakemake):
    params, wildcards = snakemake.params, snakemake.wildcards
    place = paths.place(wildcards.backbone, wildcards.layer)
    # Evals without probes do not ask for a GPU.
    device = take_device() if snakemake.resources.gpu else "cpu"
    job = Job(params.seed, snakemake.threads, device)
    script, *entries = params.code
    code = dict(zip(params.evals, entries, strict=True))
    spaces = {"spaces": params.spaces, "evaluator": params.evaluator}
    results_folder = f"results/{snakemake.config['study']}"
    with opened(snakemake.input, results_folder, place, params.data, **spaces) as sources:
        asked = list(itertools.product(params.sources.items(), params.evals))
        for (name, (spec, sweep)), chosen in counted(asked, "results computed", len(asked)):
            settings = params.settings[chosen]
            with sources.inputs(name, chosen) as inputs:
                found = computed(chosen, inputs, settings, job)
                if inputs.signed:
                    found = only_defined(found, EVALS[entry_name(chosen)])
            origin = provenance(
                [script, code[chosen]], inputs.seen, {"seed": params.seed, **settings}
            )
            source = results.described(
                wildcards.backbone, int(wildcards.layer), spec, sweep, inputs.warnings
            )
            path = result(sources.paths, name, chosen, place, params.variant)
            results.write_result(path, chosen, found, source, origin, inputs.read)


run(body, snakemake)  # noqa: F821
