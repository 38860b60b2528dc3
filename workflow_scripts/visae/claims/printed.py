"""The paper's print as evidence: which number of `resources/published_values.csv` is which.

Every published key is matched in full, part by part. One that no key of evidence answers to is what
a claim states (`Claim.printed`), or no result (thresholds of hypotheses, counts of cells).
"""

from visae.base.errors import UserError
from visae.base.reading import guarded
from visae.claims.evidence import Evidence
from visae.study.roles import BACKBONES, PAPER_METRICS
from visae.tables.published import printed_decimals, read_published
from visae.tables.statistics import spearman

_TABLE_4 = {"mean": "raw_moran", "null": "null", "z": "raw_z"}
_TABLE_6 = {
    "raw": "raw",
    "recon_mean": "reconstructed",
    "recon_std": "reconstructed_std",
    "preservation_mean": "kept",
    "preservation_std": "kept_std",
}
_FAMILIES = {"batchtopk": "first", "jumprelu": "second"}
_STATISTICS = {"rho": "rho", "p": "p_t"}
_ONCE = {
    "text/localization/null_p196": "null/mae",
    "text/jumprelu/configurations": "converged/second",
    "text/dead/clip/batchtopk_16x": "dead_first/clip",
    "text/dead/clip/jumprelu_16x": "dead_second/clip",
}
_DEAD = {"lowest": "dead_smallest", "highest": "dead_largest"}


def evidence_key(published_key):
    """The key of evidence that a published number is a value of, or None."""
    if published_key in _ONCE:
        return _ONCE[published_key]
    match published_key.split("/"):
        case ["table_3", metric, part]:
            return f"share/{metric}/{part.removeprefix('eta2_')}"
        case ["table_4", backbone, name]:
            return f"{_TABLE_4[name]}/{backbone}"
        case ["table_6", backbone, task, name]:
            return f"{_TABLE_6[name]}/{task}/{backbone}"
        case ["table_7", alpha, beta, backbone]:
            return f"absorbed/{alpha}/{beta}/{backbone}"
        case ["table_8", task, "lift", backbone]:
            return f"lift/{task}/{backbone}"
        case ["table_8", task, statistic]:
            return f"lift_{_STATISTICS[statistic]}/{task}"
        case ["table_9", metric, family, backbone]:
            return f"rank_{_FAMILIES[family]}/{metric}/{backbone}"
        case ["table_9", metric, statistic]:
            return f"family_{_STATISTICS[statistic]}/{metric}"
        case ["text", "table_3", "eta2_backbone_without_mae", metric]:
            return f"share_without_mae/{metric}/backbone"
        case ["text", metric, backbone] if metric in PAPER_METRICS and backbone in BACKBONES:
            return f"score/{metric}/{backbone}"
        case ["text", "localization", "iqr", backbone]:
            return f"iqr/{backbone}"
        case ["text", "raw_localization", backbone] if backbone in BACKBONES:
            return f"raw_moran/{backbone}"
        case ["text", ("raw" | "codes" | "lift" | "lift_std") as name, task, backbone] if (
            backbone in BACKBONES
        ):
            return f"{name}/{task}/{backbone}"
        case ["text", "spearman", metric, task] if task not in PAPER_METRICS:
            return f"rho/{metric}/{task}"
        case ["text", "spearman_p", metric, task]:
            return f"{'p_exact' if task == 'dtd' else 'p_t'}/{metric}/{task}"
        case ["text", "dead", backbone, end] if end in _DEAD:
            return f"{_DEAD[end]}/{backbone}"
    return None


def orientation(published_key):
    """−1 where print has the other sign than evidence: FVU, correlated as it is with tasks."""
    key = evidence_key(published_key) or ""
    return -1 if key.startswith("rho/fvu/") else 1


def from_published(path):
    """Evidence from the numbers that the paper prints (`resources/published_values.csv`).

    A number that is printed twice is taken from where it has more decimals. Rankings are Table
    9's. Raises UserError where two prints of one number cannot both be rounded from it.
    """
    with guarded(path, "the list of published values", "correct it"):
        return _evidence(path)


def _evidence(path):
    half_units = _half_units(path)
    values, rounding = {}, {}
    for published_key, entry in read_published(path).items():
        key = evidence_key(published_key)
        if key is None:
            continue
        value, half_unit = orientation(published_key) * entry.value, half_units[published_key]
        if key in values:
            if abs(value - values[key]) > half_unit + rounding[key] + 1e-12:
                raise UserError(
                    f"{path}: {published_key} and a line before it are both {key}, but differ; "
                    "correct one of them, or tell them apart in visae.claims.printed"
                )
            if half_unit >= rounding[key]:
                continue
        values[key], rounding[key] = value, half_unit
    return Evidence(values | _of_rankings(values), rounding, half_units)


def _of_rankings(values):
    """What follows from Table 9's rankings: each metric's ranks, the families' exact p."""
    found = {}
    for metric in PAPER_METRICS:
        first, second = (
            [values[f"rank_{family}/{metric}/{backbone}"] for backbone in BACKBONES]
            for family in _FAMILIES.values()
        )
        found |= {f"rank/{metric}/{b}": rank for b, rank in zip(BACKBONES, first, strict=True)}
        found[f"family_p_exact/{metric}"] = spearman(first, second).p_exact
    return found


def _half_units(path):
    """Half a unit of the last printed decimal of each published value, by key.

    Numbers without decimals are ranks, counts and bounds, which nobody rounded.
    """
    decimals = printed_decimals(path)
    return {key: 0.5 * 10.0**-number if number else 0.0 for key, number in decimals.items()}
