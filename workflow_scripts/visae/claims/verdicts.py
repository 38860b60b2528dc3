"""Claims judged: what the paper says, what was found, whether they agree, by which rule."""

from typing import NamedTuple

from visae.base import equal
from visae.base.errors import UserError
from visae.base.reading import guarded, read_yaml
from visae.claims import quantities
from visae.claims.evidence import OTHER_READINGS
from visae.claims.quantities import Missing
from visae.tables.layout import Column, Table, as_markdown

REPRODUCED, DIFFERS, NOT_COMPUTABLE = "reproduced", "differs", "not computable here"

READ_AS = "@"
"""In the id of a row: between the claim and the reading by which it is decided otherwise."""

AS_THE_PUBLIC_CODE = (
    "Here M2, M3 and M4 are read as the paper's public code computes them (`as_run`), since the "
    "printed numbers fit that. The numbered tables and figures read them as the paper writes them, "
    "so that the same share or rank may be another number there."
)

_TESTS = ("within", "at_least", "at_most", "above", "below", "equals")


class Claim(NamedTuple):
    """One claim, as `resources/claims.yaml` has it."""

    id: str
    place: str
    """Where the paper says it."""
    claim: str
    """What it says, in our words."""
    published: float | int | str
    """What the rule should find if the claim holds as it is printed."""
    quantity: str
    """What the rule computes, in words."""
    compute: str
    """The function of `quantities` that computes it."""
    arguments: dict
    accept: dict
    """How what is found is judged: one of equals, within (of the published number), at_least,
    at_most, above and below."""
    printed: str | None = None
    """Key of the published value that the claim states, if it is one. Of a claim that is `within`
    it, print must agree up to its decimals."""
    strict: bool = False
    """Undecided, rather than in agreement, if the rounding of print can decide it."""
    variant: bool = False
    """A second reading of the claim before it, which the paper does not make: not counted."""
    only_run: str | None = None
    """Why the paper's own numbers cannot judge it."""
    only_paper: str | None = None
    """Why a run is not asked: the claim is about the paper's own bookkeeping."""


def read_claims(path):
    """The claims in their order. Raises UserError naming a claim that is not well-formed."""
    entries = read_yaml(path, "correct it")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} is no list of claims: correct it")
    claims = []
    for entry in entries:
        name = entry.get("id", "without id")
        with guarded(path, f"a list of claims, of which {name} is one", "correct its keys"):
            claim = Claim(**entry)
            _check_types(claim)
        if len(claim.accept) != 1 or not set(claim.accept) <= set(_TESTS):
            raise UserError(f"{path}: claim {name}: accept needs one of {', '.join(_TESTS)}")
        if "within" in claim.accept and not (claim.printed or claim.only_run):
            raise UserError(
                f"{path}: claim {name}: within needs printed, the key of a published value, whose "
                "decimals say how well print must agree; or only_run"
            )
        if not callable(getattr(quantities, claim.compute, None)) or claim.compute[0] == "_":
            raise UserError(
                f"{path}: claim {name}: there is no quantity '{claim.compute}'; "
                "add it to visae.claims.quantities or correct the name"
            )
        if any(claim.id == other.id for other in claims):
            raise UserError(f"{path}: the claim '{name}' occurs twice; rename one")
        claims.append(claim)
    return claims


def _check_types(claim):
    """TypeError where a value of a claim is of another type than `Claim` says."""
    numbers = [value for value in claim.accept.values() if not isinstance(value, str)]
    for kind, *values in (
        (str, claim.id, claim.place, claim.claim, claim.quantity, claim.compute),
        (str | None, claim.printed, claim.only_run, claim.only_paper),
        (bool, claim.strict, claim.variant),
        (float | int | str, claim.published, *numbers),
        (dict, claim.arguments),
    ):
        for value in values:
            if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
                raise TypeError(f"{value!r:.60} is not of the type that it has to be")


def judge(claim, evidence):
    """One row: the claim, what was found in `evidence`, the difference, the verdict, the rule."""
    row = {
        "id": claim.id,
        "place": claim.place,
        "claim": claim.claim,
        "published": claim.published,
        "found": None,
        "difference": None,
        "rule": f"{claim.quantity}: {_accepted(claim, evidence.printed)}",
        "reason": None,
        "variant": claim.variant,
    }
    reason = claim.only_run if evidence.printed else claim.only_paper
    if reason:
        return row | {"verdict": NOT_COMPUTABLE, "reason": reason}
    try:
        found = getattr(quantities, claim.compute)(evidence, **claim.arguments)
    except Missing as missing:
        return row | {"verdict": NOT_COMPUTABLE, "reason": str(missing)}
    row["found"] = found.value
    if not isinstance(found.value, str) and not isinstance(claim.published, str):
        row["difference"] = round(found.value - claim.published, 12)
    holds = _holds(claim, found, evidence)
    if claim.strict and holds != _holds(claim, found, evidence, benefit=-1):
        return row | {
            "verdict": NOT_COMPUTABLE,
            "reason": "printed with too few decimals to decide",
        }
    return row | {"verdict": REPRODUCED if holds else DIFFERS}


def _holds(claim, found, evidence, benefit=1):
    """Whether the claim holds, with rounding in its favour (`benefit` 1) or against it (−1)."""
    ((test, bound),) = claim.accept.items()
    if isinstance(found.value, str):
        return found.value == bound
    slack = benefit * found.slack + 1e-9
    match test:
        case "equals":
            return abs(found.value - bound) <= max(slack, 1e-9)
        case "within":
            tolerance = evidence.half_units[claim.printed] if evidence.printed else bound
            return abs(found.value - claim.published) <= tolerance + slack
        case "at_least":
            return found.value >= bound - slack
        case "at_most":
            return found.value <= bound + slack
        case "above":
            return equal.above(found.value + benefit * found.slack, bound)
        case "below":
            return equal.above(bound, found.value - benefit * found.slack)


def _accepted(claim, printed):
    ((test, bound),) = claim.accept.items()
    if isinstance(bound, str):
        return f"is '{bound}'"
    sign = {"equals": "= ", "at_least": "≥ ", "at_most": "≤ ", "above": "> ", "below": "< "}
    if test == "within":
        tolerance = "up to rounding" if printed else f"± {bound:g}"
        return f"{claim.published:g} {tolerance}".replace("-", "−")
    return f"{sign[test]}{bound:g}"


def _decided_otherwise(claim, own, evidence):
    """One row per reading of a metric by which the claim's verdict is not that of its row `own`."""
    for reading, read_anew in evidence.readings.items():
        row = judge(claim, read_anew)
        if row["verdict"] not in (own["verdict"], NOT_COMPUTABLE):
            yield row | {
                "id": f"{claim.id}{READ_AS}{reading}",
                "claim": f"{claim.claim} With {OTHER_READINGS[reading].words}.",
                "variant": True,
            }


def verdict_table(claims, evidence):
    """Every claim judged on `evidence`, as one table."""
    rows = []
    for claim in claims:
        rows.append(judge(claim, evidence))
        if not claim.variant:
            rows += _decided_otherwise(claim, rows[-1], evidence)
    for row in rows:
        # Columns mix numbers with names; as words both are shown as they are.
        row |= {key: _shown(row[key]) for key in ("published", "found", "difference")}
    counts = count_verdicts(rows)
    read_as = (AS_THE_PUBLIC_CODE,) if evidence.as_run else ()
    return Table(
        f"The paper's claims on {evidence.source}",
        (
            Column("id", "Id"),
            Column("claim", "Claim"),
            Column("place", "Place"),
            Column("published", "Published"),
            Column("found", "Found"),
            Column("difference", "Difference"),
            Column("verdict", "Verdict"),
            Column("rule", "Rule"),
            Column("reason", "Reason"),
        ),
        rows,
        ("; ".join(f"{verdict}: {number}" for verdict, number in counts.items()) + ".", *read_as),
    )


def count_verdicts(rows):
    """{verdict: number of rows}, without second readings."""
    return {
        verdict: sum(row["verdict"] == verdict and not row["variant"] for row in rows)
        for verdict in (REPRODUCED, DIFFERS, NOT_COMPUTABLE)
    }


def claims_page(table):
    """The verdicts as a Markdown page: counts, then one section per verdict."""
    counts = count_verdicts(table.rows)
    lines = [f"# {table.title}", ""]
    lines.append(
        f"{sum(counts.values())} claims: "
        + ", ".join(f"**{number} {verdict}**" for verdict, number in counts.items())
        + ". Each verdict follows the rule beside it; numbers of a rule are ours where the paper "
        "says no more than 'roughly' or 'weak'."
    )
    lines += [part for note in table.notes[1:] for part in ("", note)]
    judged = ("id", "claim", "place", "published", "found", "difference", "rule")
    for verdict in (DIFFERS, REPRODUCED):
        lines += _section(
            verdict.capitalize(),
            table,
            judged,
            lambda row, verdict=verdict: row["verdict"] == verdict and not row["variant"],
        )
    lines += _section(
        NOT_COMPUTABLE.capitalize(),
        table,
        ("id", "claim", "place", "published", "reason"),
        lambda row: row["verdict"] == NOT_COMPUTABLE and not row["variant"],
    )
    lines += _section(
        "Second readings, not counted", table, (*judged, "verdict"), lambda row: row["variant"]
    )
    return "\n".join(lines) + "\n"


def _section(heading, table, keys, chosen):
    """The lines of a heading and of the chosen rows in the columns `keys`, or none."""
    rows = [row for row in table.rows if chosen(row)]
    if not rows:
        return []
    columns = tuple(column for column in table.columns if column.key in keys)
    # The part of a Markdown table below its title.
    return ["", f"## {heading}", "", *as_markdown(Table("", columns, rows)).splitlines()[2:]]


def _shown(value):
    if value is None or isinstance(value, str):
        return value
    return (str(value) if isinstance(value, int) else f"{value:.4g}").replace("-", "−")
