"""A run's number to each printed one: a value of its evidence, or what a claim about it found.

Numbers of recorded runs are those of one SAE; the run's are those of the same SAE, if it has it.
"""

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


def recorded_values(keys, rows, roles):
    """{recorded key: the run's number of that SAE and reading}, without what the run lacks.

    keys: of `visae.tables.published.read_recorded`. rows: of `scores.csv`. roles: the `Roles`.
    """
    found = {
        (roles.backbones.get(row["backbone"]), row["sae"], row["metric"], row["reading"]): row[
            "value"
        ]
        for row in rows
        if row["sweep"] == roles.main and row["value"] is not None
    }
    own = {key: found.get(tuple(key.split("/")[1:])) for key in keys}
    return {key: number for key, number in own.items() if number is not None}
