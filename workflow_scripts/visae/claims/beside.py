"""A run's number to each printed one: a value of its evidence, or what a claim about it found."""

from visae.claims.printed import evidence_key, orientation
from visae.claims.verdicts import judge


def run_values(published_keys, claims, evidence):
    """{published key: the run's number, with the sign of print}; without what the run lacks."""
    about = {}
    for claim in claims:
        if claim.printed and not claim.variant:
            about.setdefault(claim.printed, claim)
    found = {}
    for key in published_keys:
        if own := evidence_key(key):
            number = evidence.values.get(own)
            number = None if number is None else orientation(key) * number
        else:
            number = judge(about[key], evidence)["found"] if key in about else None
        if number is not None:
            found[key] = number
    return found
