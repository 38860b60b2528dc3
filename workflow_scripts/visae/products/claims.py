"""Every claim of the paper, judged on this run."""

from visae.products.product import Product
from visae.products.sources import CLAIMS, evidence, evidence_settings, judged_claims


def _reads(study, paths):
    return {**evidence(study, paths), "claims": CLAIMS}


ENTRY = Product(
    kind="table",
    shows="every claim of the paper, judged on this run",
    reads=_reads,
    settings=evidence_settings,
    needs=(judged_claims,),
    category="Claims",
)


def make(inputs, settings):
    from dataclasses import replace

    from visae.claims.evidence import read_run
    from visae.claims.verdicts import claims_page, read_claims, verdict_table

    verdicts = verdict_table(read_claims(inputs["claims"]), read_run(inputs, settings))
    return replace(verdicts, page=claims_page(verdicts))
