"""Score all SAEs of a (sweep, backbone) on some metrics: one JSON per SAE and metric."""

from itertools import product

from visae.base.devices import take_device
from visae.base.job import run
from visae.evals.inputs import Source, score_sae
from visae.evals.provenance import provenance
from visae.evals.results import write_score
from visae.sae.specs import SaeSpec


def described(snakemake, name):
    """What a score says of its SAE."""
    spec = SaeSpec.from_name(name)
    return {
        "backbone": snakemake.wildcards.backbone,
        "layer": int(snakemake.wildcards.layer),
        "name": name,
        "family": spec.family,
        "expansion_factor": spec.expansion_factor,
        "k": spec.sparsity,
        "sweep": snakemake.params.sweeps[name],
    }


def body(snakemake):
    params, files = snakemake.params, snakemake.input
    source = Source(
        evaluation=params.evaluation,
        reductions=dict(zip(product(params.splits, params.saes), files.reductions, strict=True)),
        raw=dict(zip(params.splits, files.get("raw", []), strict=False)),
        raw_probes=dict(zip(params.datasets, files.get("raw_probes", []), strict=False)),
        rankings=dict(
            zip(product(params.datasets, params.saes), files.get("rankings", []), strict=False)
        ),
        probe_split=files.get("split"),
        classes=files.get("classes"),
        embeddings=dict(zip(params.spaces, files.get("embeddings", []), strict=False)),
        evaluator=params.evaluator,
        cross_domain=params.cross_domain,
    )
    # Metrics without probes do not ask for a GPU.
    device = take_device() if snakemake.resources.gpu else "cpu"
    outputs = iter(snakemake.output.scores)
    script, *modules = params.code
    code = dict(zip(params.metrics, modules, strict=True))
    for name in params.saes:
        description, inputs = described(snakemake, name), source.fingerprints(name)
        for metric in params.metrics:
            settings = params.settings[metric]
            score = score_sae(
                metric, source, name, settings, params.seed, snakemake.threads, device
            )
            origin = provenance([script, code[metric]], inputs, {"seed": params.seed, **settings})
            write_score(next(outputs), score, description, origin)


run(body, snakemake)  # noqa: F821
