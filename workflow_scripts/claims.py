"""Judge every claim of the paper on this run, and on the paper's own printed numbers."""

from visae.claims.evidence import Roles, from_run
from visae.claims.verdicts import claims_page, read_claims, verdict_table
from visae.coherence import raw_coherence
from visae.files import write_text
from visae.job import run
from visae.tables.downstream import read_downstream
from visae.tables.layout import write
from visae.tables.scores import read_scores


def body(snakemake):
    params, files, outputs = snakemake.params, snakemake.input, snakemake.output
    claims = read_claims(files.claims)
    coherence = {
        backbone: raw_coherence(path, params.config["metrics"]["localization"])
        for backbone, path in zip(params.backbones, files.raw, strict=True)
    }
    downstream = read_downstream(files.downstream) if files.get("downstream") else None
    evidence = from_run(
        read_scores(files.scores),
        Roles.of(params.config),
        raw_coherence=coherence,
        downstream=downstream,
        seed=params.config["seed"],
    )
    verdicts = verdict_table(claims, evidence)
    write(verdicts, outputs.csv, latex_path=outputs.tex)
    write_text(outputs.md, claims_page(verdicts))


run(body, snakemake)  # noqa: F821
