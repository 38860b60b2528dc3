"""Set every number that the paper prints beside this run's."""

from visae.base.job import run
from visae.claims.beside import run_values
from visae.claims.evidence import read_run
from visae.claims.verdicts import read_claims
from visae.tables.layout import write
from visae.tables.published import read_published
from visae.tables.published_vs_run import published_vs_run


def body(snakemake):
    params, files = snakemake.params, snakemake.input
    claims, published = read_claims(files.claims), read_published(files.published)
    evidence = read_run(
        files.scores, files.raw, files.get("downstream"), params.config, params.backbones
    )
    table = published_vs_run(
        published,
        run_values(published, claims, evidence),
        {
            reading: run_values(published, claims, read_anew)
            for reading, read_anew in evidence.readings.items()
        },
    )
    write(table, *(snakemake.output[view] for view in ("csv", "md", "tex")))


run(body, snakemake)  # noqa: F821
