"""Join the tables of all sweeps, if their scores can be compared, to the table of all scores."""

from visae.files import read_json
from visae.job import run
from visae.provenance import common_origin, remarks
from visae.tables.layout import write
from visae.tables.scores import joined


def body(snakemake):
    files = zip(snakemake.params.sweeps, snakemake.input.origins, strict=True)
    origin = common_origin({f"the sweep {sweep}": read_json(path) for sweep, path in files})
    write(joined(snakemake.input.tables), snakemake.output.table)
    return remarks(origin)


run(body, snakemake)  # noqa: F821
