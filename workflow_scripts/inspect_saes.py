"""Read published SAEs before anything is computed for them: what each of them is, as JSON."""

from pathlib import Path

from visae.base.job import run
from visae.sae.exchange.foreign import inspect
from visae.sae.exchange.form import Reading
from visae.sae.exchange.inspected import write_inspected
from visae.sae.specs import SaeSpec


def body(snakemake):
    params, layer = snakemake.params, int(snakemake.wildcards.layer)
    found = {}
    for name in params.saes:
        reading = Reading.of_sweep(SaeSpec.from_name(name), params.reading)
        found[name] = inspect(Path(snakemake.input.published) / name, reading, layer)
    write_inspected(snakemake.output.inspected, params.libraries, found)


run(body, snakemake)  # noqa: F821
