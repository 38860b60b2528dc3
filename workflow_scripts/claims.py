"""Judge every claim of the paper on this run."""

from visae.base.files import write_text
from visae.base.job import run
from visae.claims.evidence import read_run
from visae.claims.verdicts import claims_page, read_claims, verdict_table
from visae.tables.layout import write


def body(snakemake):
    params, files, outputs = snakemake.params, snakemake.input, snakemake.output
    evidence = read_run(
        files.scores, files.raw, files.get("downstream"), params.config, params.backbones
    )
    verdicts = verdict_table(read_claims(files.claims), evidence)
    write(verdicts, outputs.csv, latex_path=outputs.tex)
    write_text(outputs.md, claims_page(verdicts))


run(body, snakemake)  # noqa: F821
