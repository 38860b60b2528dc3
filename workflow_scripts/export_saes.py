"""Write the SAEs of a (sweep, backbone) in the layout that the published package loads."""

from pathlib import Path

from visae.base.job import run
from visae.sae.exchange.export import export_sae


def body(snakemake):
    destination = Path(snakemake.output.exported[0]).parents[1]
    for path in snakemake.input.saes:
        export_sae(Path(path).parent, destination)


run(body, snakemake)  # noqa: F821
