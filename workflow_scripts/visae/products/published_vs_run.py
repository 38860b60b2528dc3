"""Every number that the paper prints beside this run's."""

from visae.products.product import Product
from visae.products.sources import CLAIMS, PUBLISHED, evidence, evidence_settings, judged_claims


def _reads(study, paths):
    return {**evidence(study, paths), "claims": CLAIMS, "published": PUBLISHED}


ENTRY = Product(
    kind="table",
    shows="every number that the paper prints beside this run's",
    reads=_reads,
    settings=evidence_settings,
    needs=(judged_claims,),
)


def make(inputs, settings):
    from visae.claims.beside import recorded_values, run_values
    from visae.claims.evidence import read_run
    from visae.claims.verdicts import read_claims
    from visae.study.roles import Roles
    from visae.tables.published import read_published, read_recorded
    from visae.tables.published_vs_run import published_vs_run
    from visae.tables.scores import read_scores

    claims, published = read_claims(inputs["claims"]), read_published(inputs["published"])
    recorded = read_recorded(inputs["published"])
    same_sae = recorded_values(recorded, read_scores(inputs["scores"]), Roles(**settings["roles"]))
    evidence = read_run(inputs, settings)
    readings = {
        reading: run_values(published, claims, read_anew)
        for reading, read_anew in evidence.readings.items()
    }
    run = run_values(published, claims, evidence) | same_sae
    return published_vs_run(published | recorded, run, readings)
