"""Claims: judged by their stated rules, on a run as on print; the pages say what they say."""

import copy
import itertools
import re
from pathlib import Path

import pytest
import yaml
from study_fixtures import demo_config, paper_config

from visae import config as configs
from visae.claims import quantities
from visae.claims.evidence import Evidence, Roles, from_published, from_run
from visae.claims.verdicts import (
    DIFFERS,
    NOT_COMPUTABLE,
    REPRODUCED,
    Claim,
    claims_page,
    count_verdicts,
    judge,
    read_claims,
    verdict_table,
)
from visae.errors import UserError
from visae.statistics import spearman
from visae.tables import layout
from visae.tables.published import rank_order, read_published
from visae.tables.scores import METRIC_LABELS

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "resources" / "claims.yaml"
PUBLISHED = ROOT / "resources" / "published_values.csv"
LOWER_IS_BETTER = ("fvu", "absorption")


@pytest.fixture(scope="module")
def claims():
    return read_claims(CLAIMS)


@pytest.fixture(scope="module")
def printed(claims):
    """The verdicts on the paper's own numbers, by claim."""
    table = verdict_table(claims, from_published(PUBLISHED))
    return table, {row["id"]: row for row in table.rows}


def claim(**changes):
    entry = {
        "id": "c",
        "place": "Table 3",
        "claim": "A number is 0.5.",
        "published": 0.5,
        "quantity": "the number",
        "compute": "value",
        "arguments": {"key": "a"},
        "accept": {"within": 0.1},
    }
    return Claim(**(entry | changes))


def verdict(of, values, rounding=None, printed=False):
    return judge(of, Evidence(values, rounding or {}, printed))["verdict"]


# ------------------------------------------------------------------ the rules


@pytest.mark.parametrize(
    ("accept", "number", "expected"),
    [
        ({"within": 0.1}, 0.59, REPRODUCED),
        ({"within": 0.1}, 0.61, DIFFERS),
        ({"equals": 0.5}, 0.5, REPRODUCED),
        ({"equals": 0.5}, 0.51, DIFFERS),
        ({"at_least": 0.5}, 0.5, REPRODUCED),
        ({"at_least": 0.5}, 0.49, DIFFERS),
        ({"at_most": 0.5}, 0.5, REPRODUCED),
        ({"at_most": 0.5}, 0.51, DIFFERS),
        ({"above": 0.5}, 0.5, DIFFERS),
        ({"above": 0.5}, 0.51, REPRODUCED),
        ({"below": 0.5}, 0.5, DIFFERS),
        ({"below": 0.5}, 0.49, REPRODUCED),
    ],
)
def test_a_number_is_judged_by_its_bound(accept, number, expected):
    assert verdict(claim(accept=accept), {"a": number}) == expected


def test_what_is_missing_is_named_and_not_judged():
    row = judge(claim(), Evidence({"b": 1.0}))
    assert (row["verdict"], row["found"]) == (NOT_COMPUTABLE, None)
    assert row["reason"] == "no value of a"


def test_print_must_agree_up_to_rounding_whatever_a_run_is_allowed():
    """0.56 is within 0.1 of 0.5, but no rounding of it."""
    assert verdict(claim(), {"a": 0.56}) == REPRODUCED
    assert verdict(claim(), {"a": 0.56}, {"a": 0.005}, printed=True) == DIFFERS
    assert verdict(claim(), {"a": 0.553}, {"a": 0.005}, printed=True) == REPRODUCED


def test_a_strict_claim_stays_undecided_where_rounding_decides():
    strict = claim(accept={"at_most": 0.5}, strict=True)
    assert verdict(strict, {"a": 0.5}, {"a": 0.005}, printed=True) == NOT_COMPUTABLE
    assert verdict(strict, {"a": 0.4}, {"a": 0.005}, printed=True) == REPRODUCED
    assert verdict(strict, {"a": 0.6}, {"a": 0.005}, printed=True) == DIFFERS


def test_claims_about_print_are_not_asked_of_a_run_and_the_reverse():
    run, paper = claim(only_run="unprinted"), claim(only_paper="bookkeeping")
    assert judge(run, Evidence({"a": 0.5}, printed=True))["reason"] == "unprinted"
    assert verdict(run, {"a": 0.5}) == REPRODUCED
    assert judge(paper, Evidence({"a": 0.5}))["reason"] == "bookkeeping"
    assert verdict(paper, {"a": 0.5}, printed=True) == REPRODUCED


def test_second_readings_are_shown_but_not_counted():
    table = verdict_table([claim(), claim(id="d", variant=True)], Evidence({"a": 9.0}))
    assert count_verdicts(table.rows) == {REPRODUCED: 0, DIFFERS: 1, NOT_COMPUTABLE: 0}
    assert "Second readings" in claims_page(table)


def test_p_values_are_those_of_a_ranking_with_that_rho():
    evidence = Evidence({"rho": 0.9, "odd": 0.85})
    assert quantities.p_of(evidence, "rho").value == pytest.approx(0.0374, abs=1e-4)
    assert quantities.p_of(evidence, "rho", "p_exact").value == pytest.approx(10 / 120)
    with pytest.raises(quantities.Missing, match="no ranking"):
        quantities.p_of(evidence, "odd")


def test_ratio_carries_the_rounding_of_both_sides():
    evidence = Evidence({"a": 0.127, "b": 0.171}, {"a": 0.0005, "b": 0.0005})
    found = quantities.ratio(evidence, "a", "b")
    low, high = 0.1265 / 0.1715, 0.1275 / 0.1705
    assert found.value - found.slack == pytest.approx(low, abs=1e-4)
    assert found.value + found.slack == pytest.approx(high, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compute": "magic"}, "there is no quantity 'magic'"),
        ({"accept": {"roughly": 1}}, "accept needs one of"),
        ({"color": "red"}, "unexpected keyword argument 'color'"),
    ],
)
def test_a_malformed_claim_is_named(tmp_path, change, message):
    path = tmp_path / "claims.yaml"
    entries = [claim()._asdict() | change]
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    with pytest.raises(UserError, match=f"claim c: .*{message}"):
        read_claims(path)


def test_a_repeated_claim_is_refused(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(2 * [claim()._asdict()]), encoding="utf-8")
    with pytest.raises(UserError, match="'c' occurs twice"):
        read_claims(path)


# ------------------------------------------------------------------ the paper's own numbers


def test_every_claim_has_a_verdict_and_a_reason_where_it_has_none(printed):
    for row in printed[0].rows:
        assert (row["found"] is None) <= (row["verdict"] == NOT_COMPUTABLE), row["id"]
        assert (row["reason"] is not None) == (row["verdict"] == NOT_COMPUTABLE), row["id"]
        assert "no value of" not in (row["reason"] or ""), row["id"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("backbone_over_60", REPRODUCED),
        ("backbone_over_60_checklist", DIFFERS),
        ("hyperparameters_dominate_fvu_only", DIFFERS),
        ("mae_last", DIFFERS),
        ("mae_four_decimals", NOT_COMPUTABLE),
        ("share_m6_from_table_6", REPRODUCED),
        ("coherence_kept", REPRODUCED),
        ("fvu_preservation", DIFFERS),
        ("m4_dtd", REPRODUCED),
        ("h2", REPRODUCED),
        ("h2_direction", DIFFERS),
        ("hypotheses_confirmed", REPRODUCED),
        ("hypotheses_significant", DIFFERS),
        ("p_dtd", REPRODUCED),
        ("deit_lowest_7_of_9", REPRODUCED),
        ("mae_deit_converge", DIFFERS),
        ("lift_dinov2_segmentation", REPRODUCED),
        ("families_significant", REPRODUCED),
        ("families_significant_exact", DIFFERS),
    ],
)
def test_verdicts_known_by_hand(printed, name, expected):
    assert printed[1][name]["verdict"] == expected


def test_the_findings_page_states_these_counts(printed):
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    counts = count_verdicts(printed[0].rows)
    for kind, number in counts.items():
        (told,) = re.findall(rf"\| [a-z ]*\(\*{kind.removesuffix(' here')}\*\) \| (\d+) \|", text)
        assert int(told) == number, kind
    assert f"The {sum(counts.values())} claims" in text


def test_the_findings_page_states_the_rebuilt_heatmap():
    """All 35 cells from Tables 6 and 9 and the two orders that the printed ρ leave."""
    published = read_published(PUBLISHED)
    ranks = {
        metric: {b: i for i, b in enumerate(rank_order(published, metric, "batchtopk"))}
        for metric in METRIC_LABELS
    }
    orders = {
        "retrieval": ["deit", "dinov2", "siglip", "clip", "mae"],
        "segmentation": ["dinov2", "clip", "deit", "siglip", "mae"],
    }
    tasks = {t: {b: -i for i, b in enumerate(order)} for t, order in orders.items()}
    for task in ("cub200", "dtd", "inaturalist"):
        tasks[task] = {b: published[f"table_6/{b}/{task}/raw"].value for b in orders["retrieval"]}
    cells = {
        (metric, task): quantities.correlate(ranks[metric], tasks[task]).rho
        for metric in ranks
        for task in tasks
    }
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    for metric, label in METRIC_LABELS.items():
        (line,) = [row for row in text.splitlines() if row.startswith(f"| {label} |")]
        told = [float(n.replace("−", "-")) for n in re.findall(r"[−\d.]+(?=\*? \|)", line)]
        own = [cells[metric, t] for t in
               ("retrieval", "cub200", "dtd", "inaturalist", "segmentation")]  # fmt: skip
        assert told == pytest.approx([*own, sum(own) / 5], abs=1e-6)


def test_every_claim_that_the_inconsistencies_page_names_is_there(claims):
    text = (ROOT / "docs" / "inconsistencies.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]{4,})`", "\n".join(re.findall(r"[Cc]laims? .*", text))))
    named |= {name for name in re.findall(r"\(`(.*?)`", text) if "," not in name}
    known = {c.id for c in claims}
    assert {name for name in named if name not in known} <= {"retrained", "details", "rho_common"}
    assert len(named & known) > 12


def test_the_views_of_the_verdicts(printed):
    table, _ = printed
    assert layout.as_latex(table).isascii()
    page = claims_page(table)
    for heading in ("Differs", "Reproduced", "Not computable here", "Second readings, not counted"):
        assert f"## {heading}" in page
    assert layout.as_csv(table).count("\n") >= len(table.rows) + 1


# ------------------------------------------------------------------ a run


NAMES = {"dinov2": "dino_small", "clip": "clip_small", "siglip": "siglip_small",
         "deit": "deit_small", "mae": "mae_small"}  # fmt: skip


def run_rows(ranks, sweep="main", family="batchtopk", layer=3, readings=True):
    """Scores whose means have the given ranks, with configuration effects far smaller."""
    rows = []
    for metric, of_metric in ranks.items():
        for (backbone, rank), (expansion, k) in itertools.product(
            of_metric.items(), itertools.product((8, 16), (64, 128))
        ):
            merit = 1 - 0.1 * rank + 0.001 * (expansion / 8 + k / 64)
            about = {
                "backbone": NAMES[backbone],
                "layer": layer,
                "sae": f"{family}_{expansion}x_k{k}",
                "sweep": sweep,
                "family": family,
                "expansion_factor": expansion,
                "k": k,
                "metric": metric,
                "definition": "d",
                "reason": None,
                "higher_is_better": metric not in LOWER_IS_BETTER,
            }
            value = 1 - merit if metric in LOWER_IS_BETTER else merit
            rows.append({**about, "reading": "headline", "value": value})
            extra = {}
            if readings and metric == "localization":
                extra = {"z": 200.0, "null": -1 / 63, "iqr": 0.1}
            if readings and metric == "fvu":
                extra = {"mean_l0": float(k), "dead_fraction": 0.1 if expansion == 8 else 0.3}
            rows += [
                {**about, "reading": r, "value": v, "higher_is_better": None}
                for r, v in extra.items()
            ]
    return rows


@pytest.fixture(scope="module")
def paper_ranks():
    published = read_published(PUBLISHED)
    return {
        metric: {b: i + 1 for i, b in enumerate(rank_order(published, metric, "batchtopk"))}
        for metric in METRIC_LABELS
    }


def test_roles_follow_paradigm_layout_and_family_and_never_a_permuted_arm():
    config = configs.checked(demo_config())
    roles = Roles.of(config)
    assert roles.backbones == {run: paper for paper, run in NAMES.items()}
    assert (roles.main, roles.jumprelu, roles.early) == ("main", "jumprelu", "layer_1")
    assert roles.tasks["digits"] == "cub200"
    arm = copy.deepcopy(demo_config())
    permuted = arm["backbones"].pop("mae_small") | {"token_order": "permuted"}
    arm["backbones"]["mae_permuted"] = permuted
    assert "mae" not in Roles.of(configs.checked(arm)).backbones.values()
    paper = Roles.of(configs.checked(paper_config()))
    assert paper.backbones == {name: name for name in NAMES}
    assert set(paper.tasks.values()) == {"cub200", "dtd", "inaturalist", "segmentation"}


def test_a_run_with_the_papers_ranks_gets_the_papers_verdicts_on_them(claims, printed, paper_ranks):
    roles = Roles.of(configs.checked(demo_config()))
    evidence = from_run(run_rows(paper_ranks), roles)
    judged = {c.id: judge(c, evidence) for c in claims}
    of_ranks = [
        c.id for c in claims if "rank/" in str(c.arguments) or c.compute in ("between_metrics",)
    ]
    assert len(of_ranks) > 12
    for name in of_ranks:
        assert judged[name]["verdict"] == printed[1][name]["verdict"], name
    assert judged["backbone_over_90"]["found"] == 7
    assert judged["others_z_150"]["verdict"] == REPRODUCED
    assert judged["h1"]["verdict"] == NOT_COMPUTABLE
    assert "raw/segmentation/dinov2" in judged["h1"]["reason"]


def downstream_row(backbone, task, representation, value):
    """One row of `downstream_table`."""
    sae = "raw" if representation == "raw" else "batchtopk_8x_k64"
    return {"backbone": backbone, "layer": 3, "sae": sae, "task": task,
            "sweep": None if sae == "raw" else "main", "representation": representation,
            "reading": "headline", "value": value}  # fmt: skip


def test_downstream_scores_open_the_hypotheses(claims, paper_ranks):
    roles = Roles.of(configs.checked(demo_config()))
    order = ["dinov2", "clip", "deit", "siglip", "mae"]
    downstream = []
    for place, backbone in enumerate(order):
        raw = 0.5 - 0.1 * place
        downstream += [
            downstream_row(NAMES[backbone], "segmentation", "raw", raw),
            downstream_row(NAMES[backbone], "segmentation", "codes", raw * (0.5 + raw)),
            downstream_row(NAMES[backbone], "classification_digits", "raw", raw),
        ]
    evidence = from_run(run_rows(paper_ranks), roles, downstream=downstream)
    judged = {c.id: judge(c, evidence) for c in claims}
    assert judged["h1"]["found"] == pytest.approx(0.9)
    assert judged["h1"]["verdict"] == REPRODUCED
    assert judged["inversion_segmentation"]["found"] == pytest.approx(1.0)
    assert judged["inversion_segmentation"]["verdict"] == DIFFERS
    assert evidence.values["lift/segmentation/dinov2"] == pytest.approx(1.0)


def test_families_are_compared_without_what_did_not_converge(claims, paper_ranks):
    roles = Roles.of(configs.checked(demo_config()))
    second = run_rows(paper_ranks, "jumprelu", "jumprelu")
    for row in second:
        if row["reading"] == "mean_l0" and row["backbone"] == "clip_small" and row["k"] == 128:
            row["value"] = 300.0
    evidence = from_run(run_rows(paper_ranks) + second, roles)
    judged = {c.id: judge(c, evidence) for c in claims}
    assert judged["jumprelu_converged"]["found"] == pytest.approx(18 / 20)
    assert judged["jumprelu_converged"]["verdict"] == REPRODUCED
    assert judged["families_agree"]["found"] == 1
    assert judged["overall_second_family"]["verdict"] == REPRODUCED
    assert evidence.values["dead_first/clip"] == pytest.approx(30)
    assert evidence.values["dead_largest/clip"] == pytest.approx(30)


def test_within_backbone_correlation_is_that_over_its_saes(paper_ranks):
    roles = Roles.of(configs.checked(demo_config()))
    rows = run_rows(paper_ranks)
    values = {"fvu": [0.1, 0.2, 0.3, 0.4], "preservation": [0.9, 0.7, 0.8, 0.6]}
    for metric, numbers in values.items():
        own = [
            r for r in rows
            if (r["metric"], r["backbone"], r["reading"]) == (metric, "clip_small", "headline")
        ]  # fmt: skip
        for row, number in zip(own, numbers, strict=True):
            row["value"] = number
    evidence = from_run(rows, roles)
    expected = abs(spearman(*values.values()).rho)
    assert evidence.values["rho_within/clip"] == pytest.approx(expected)
