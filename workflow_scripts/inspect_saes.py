"""Read published SAEs before anything is computed for them: what each of them is, as JSON."""

from visae.base.job import run
from visae.sae.exchange.foreign import inspect
from visae.sae.exchange.form import Reading
from visae.sae.exchange.inspected import write_inspected
from visae.sae.specs import SaeSpec


def body(snakemake):
    params, layer = snakemake.params, int(snakemake.wildcards.layer)
    found = {}
    for spec in map(SaeSpec.from_text, params.saes):
        reading = Reading.of_sweep(spec, params.reading)
        found[spec.name] = inspect(params.folders[spec.name], reading, layer)
    write_inspected(snakemake.output.inspected, params.libraries, found)


run(body, snakemake)  # noqa: F821
