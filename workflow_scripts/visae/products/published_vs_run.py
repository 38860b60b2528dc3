"""Every number that the paper prints beside this run's."""

from visae.products.product import Product
from visae.products.sources import CLAIMS, PUBLISHED, evidence, evidence_settings


def _reads(study, paths):
    return {**evidence(study, paths), "claims": CLAIMS, "published": PUBLISHED}


ENTRY = Product(
    kind="table",
    shows="every number that the paper prints beside this run's",
    reads=_reads,
    settings=evidence_settings,
)


def make(inputs, settings):
    from visae.claims.beside import run_values
    from visae.claims.evidence import read_run
    from visae.claims.verdicts import read_claims
    from visae.tables.published import read_published
    from visae.tables.published_vs_run import published_vs_run

    claims, published = read_claims(inputs["claims"]), read_published(inputs["published"])
    evidence = read_run(inputs, settings)
    readings = {
        reading: run_values(published, claims, read_anew)
        for reading, read_anew in evidence.readings.items()
    }
    return published_vs_run(published, run_values(published, claims, evidence), readings)
