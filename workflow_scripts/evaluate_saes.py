"""Do downstream tasks with all SAEs of a (sweep, backbone): one JSON document per SAE and task."""

from itertools import product
from pathlib import Path

from visae.base.devices import take_device
from visae.base.job import run
from visae.evals.provenance import provenance
from visae.evals.task_inputs import Files, evaluate_sae, open_patches, settings_of
from visae.evals.task_results import source, write_result
from visae.sae.specs import SaeSpec


def described(snakemake, name):
    """What a result says of its SAE."""
    spec = SaeSpec.from_name(name)
    return source(
        snakemake.wildcards.backbone,
        int(snakemake.wildcards.layer),
        name,
        family=spec.family,
        expansion_factor=spec.expansion_factor,
        k=spec.sparsity,
        sweep=snakemake.params.sweep,
    )


def body(snakemake):
    params, given = snakemake.params, snakemake.input
    device = take_device()
    with open_patches(
        given.caches, given.indices, given.classes, params.root, params.head, snakemake.threads
    ) as patches:
        files = Files(
            evaluation=params.evaluation,
            cross_domain=params.cross_domain,
            probe_split=given.split,
            reductions=dict(
                zip(product(params.splits, params.saes), given.reductions, strict=True)
            ),
            # Segmentation alone reads weights, classification alone scores.
            scores=dict(zip(params.saes, given.scores, strict=False)),
            saes={Path(path).parent.name: Path(path).parent for path in given.saes},
            patches=patches,
        )
        outputs = iter(snakemake.output.results)
        for name, task in product(params.saes, params.tasks):
            outcomes, inputs = evaluate_sae(
                task, files, name, params.seed, device, snakemake.threads
            )
            write_result(
                next(outputs),
                task,
                outcomes,
                described(snakemake, name),
                provenance(params.code, inputs, settings_of(task, params.seed, params.head)),
            )


run(body, snakemake)  # noqa: F821
