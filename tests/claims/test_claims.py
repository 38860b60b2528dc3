"""Claims: judged by their stated rules, on a run as on print; the pages say what they say."""

import copy
import functools
import itertools
import math
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from published_fixtures import rank_order
from study_fixtures import demo_config, paper_config

from visae.base.errors import UserError
from visae.claims import numbers, quantities
from visae.claims.beside import recorded_values, run_values
from visae.claims.evidence import Evidence, from_run, read_run
from visae.claims.numbers import ranks_of
from visae.claims.printed import evidence_key, from_published
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
from visae.evals.shelf import EVALS, metrics, titles
from visae.report.claims_section import read_verdicts
from visae.study.roles import BACKBONES, Roles
from visae.study.study import Study
from visae.tables import layout, statistics, tidy
from visae.tables.published import read_published, read_recorded
from visae.tables.published_vs_run import published_vs_run

ROOT = Path(__file__).parents[2]
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
        "printed": "p",
    }
    return Claim(**(entry | changes))


def verdict(of, values, rounding=None, half_unit=None):
    """On a run, or on print whose claimed number is rounded to twice `half_unit`."""
    half_units = None if half_unit is None else {"p": half_unit}
    return judge(of, Evidence(values, rounding or {}, half_units))["verdict"]


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


@pytest.mark.parametrize(
    ("accept", "sign"),
    [({"at_least": 0.5}, -1), ({"above": 0.5}, -1), ({"at_most": 0.5}, 1), ({"below": 0.5}, 1)],
)
def test_rounding_of_print_is_in_favour_of_a_claim_and_only_so_far(accept, sign):
    """On the wrong side by less than the rounding, by more; and by no rounding at all."""
    for distance, rounding, holds in ((0.009, 0.01, True), (0.011, 0.01, False), (0.009, 0, False)):
        found, of = {"a": 0.5 + sign * distance}, claim(accept=accept, printed=None)
        expected = REPRODUCED if holds else DIFFERS
        assert verdict(of, found, {"a": rounding}, half_unit=0.01) == expected
    # Undecided where rounding can decide, on either side of the bound.
    strict = claim(accept=accept, printed=None, strict=True)
    for number in (0.5 + 0.009 * sign, 0.5 - 0.009 * sign):
        assert verdict(strict, {"a": number}, {"a": 0.01}, half_unit=0.01) == NOT_COMPUTABLE
    assert verdict(strict, {"a": 0.5 - 0.02 * sign}, {"a": 0.01}, half_unit=0.01) == REPRODUCED
    assert verdict(strict, {"a": 0.5 + 0.02 * sign}, {"a": 0.01}, half_unit=0.01) == DIFFERS


@pytest.mark.parametrize("accept", [{"equals": 0.5}, {"within": 0.1}])
def test_rounding_of_print_is_added_to_what_a_number_may_be_off(accept):
    tolerance = accept.get("within", 0)
    for side in (-1, 1):
        for distance, holds in ((0.009, True), (0.011, False)):
            of = claim(accept=accept, printed="p" if tolerance else None)
            found = {"a": 0.5 + side * (tolerance + distance)}
            expected = REPRODUCED if holds else DIFFERS
            assert verdict(of, found, {"a": 0.01}, half_unit=tolerance) == expected


def test_what_is_missing_is_named_and_not_judged():
    row = judge(claim(), Evidence({"b": 1.0}))
    assert (row["verdict"], row["found"]) == (NOT_COMPUTABLE, None)
    assert row["reason"] == "no value of a"


@pytest.mark.parametrize(("names", "told"), [("xy", "a/x, a/y"), ("xyz", "a/x, a/y, a/z"),
                                             ("wxyz", "a/w, a/x, a/y, …")])  # fmt: skip
def test_three_of_what_is_missing_are_named(names, told):
    with pytest.raises(quantities.Missing, match=rf"^no value of {told}$"):
        quantities.mean(Evidence({}), "a/*", list(names))


def test_what_is_found_stands_beside_what_is_claimed():
    assert judge(claim(), Evidence({"a": 0.53}))["difference"] == pytest.approx(0.03)
    assert judge(claim(), Evidence({"a": 0.53}))["found"] == 0.53
    named = claim(published="x first", compute="first", arguments={"pattern": "a/*", "over": ["x"]},
                  accept={"equals": "x first"}, printed=None)  # fmt: skip
    row = judge(named, Evidence({"a/x": 1.0}))
    assert (row["found"], row["difference"]) == ("x", None)


@pytest.mark.parametrize("zero", ["b/x", "b/y"])
def test_no_ratio_has_a_bottom_of_zero(zero):
    evidence = Evidence({"a/x": 1.0, "a/y": 3.0, "b/x": 2.0, "b/y": 4.0} | {zero: 0.0})
    with pytest.raises(quantities.Missing, match=f"^{zero} is 0$"):
        quantities.ratio(evidence, "a/x", zero)
    with pytest.raises(quantities.Missing, match=r"^one of b/\* is 0$"):
        quantities.mean_ratio(evidence, "a/*", "b/*", ["x", "y"])


def test_print_must_agree_up_to_rounding_whatever_a_run_is_allowed():
    """0.56 is within 0.1 of 0.5, but no rounding of it."""
    assert verdict(claim(), {"a": 0.56}) == REPRODUCED
    assert verdict(claim(), {"a": 0.56}, {"a": 0.005}, half_unit=0.05) == DIFFERS
    assert verdict(claim(), {"a": 0.553}, {"a": 0.005}, half_unit=0.05) == REPRODUCED


def test_the_decimals_of_print_are_those_of_its_text():
    """ρ is printed as 0.90: half a unit is 0.005, which a float would not tell."""
    evidence = from_published(PUBLISHED)
    assert evidence.half_units["text/spearman/localization/segmentation"] == 0.005
    assert evidence.half_units["text/table_3/metrics_over_90_percent"] == 0
    assert verdict(claim(), {"a": 0.51}, half_unit=0.005) == DIFFERS
    assert verdict(claim(), {"a": 0.505}, half_unit=0.005) == REPRODUCED


def test_a_strict_claim_stays_undecided_where_rounding_decides():
    strict = claim(accept={"at_most": 0.5}, strict=True)
    assert verdict(strict, {"a": 0.5}, {"a": 0.005}, half_unit=0.05) == NOT_COMPUTABLE
    assert verdict(strict, {"a": 0.4}, {"a": 0.005}, half_unit=0.05) == REPRODUCED
    assert verdict(strict, {"a": 0.6}, {"a": 0.005}, half_unit=0.05) == DIFFERS


def test_claims_about_print_are_not_asked_of_a_run_and_the_reverse():
    run, paper = claim(only_run="unprinted"), claim(only_paper="bookkeeping")
    assert judge(run, Evidence({"a": 0.5}, half_units={}))["reason"] == "unprinted"
    assert verdict(run, {"a": 0.5}) == REPRODUCED
    assert judge(paper, Evidence({"a": 0.5}))["reason"] == "bookkeeping"
    assert verdict(paper, {"a": 0.5}, half_unit=0.05) == REPRODUCED


def test_second_readings_are_shown_but_not_counted():
    table = verdict_table([claim(), claim(id="d", variant=True)], Evidence({"a": 9.0}))
    assert count_verdicts(table.rows) == {REPRODUCED: 0, DIFFERS: 1, NOT_COMPUTABLE: 0}
    assert "Second readings" in claims_page(table)


def test_every_claim_stands_in_its_section_alone():
    there, far, lacking = {"key": "a"}, {"key": "far"}, {"key": "lacking"}
    own = {"holds": there, "fails": far, "unknown": lacking}
    found = [claim(id=name, arguments=key) for name, key in own.items()]
    found += [claim(id=f"other_{name}", arguments=key, variant=True) for name, key in own.items()]
    page = claims_page(verdict_table(found, Evidence({"a": 0.5, "far": 9.0})))
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    listed = {
        heading: {each.id for each in found if f"| {each.id} |" in text}
        for heading, text in sections.items()
    }
    assert listed == {
        "Differs": {"fails"},
        "Reproduced": {"holds"},
        "Not computable here": {"unknown"},
        "Second readings, not counted": {"other_holds", "other_fails", "other_unknown"},
    }


def test_no_claim_leans_on_the_one_before_it(claims):
    """Pages sort them by verdict, and readers by column."""
    leaning = re.compile(r"the same\b|the other four|all three|\bthese\b|\bnot so\b", re.IGNORECASE)
    assert [each.id for each in claims if leaning.search(each.claim)] == []


def test_p_of_print_are_those_of_a_ranking_with_that_rho():
    evidence = Evidence({"rho": 0.9, "odd": 0.85})
    assert quantities.p_of(evidence, "rho").value == pytest.approx(0.0374, abs=1e-4)
    assert quantities.p_of(evidence, "rho", "p_exact").value == pytest.approx(10 / 120)
    with pytest.raises(quantities.Missing, match="no ranking"):
        quantities.p_of(evidence, "odd")


def test_equal_numbers_are_named_together_and_no_list_decides():
    values = {"a/x": 1.0, "a/y": 2.0, "a/z": 2.0, "b/x": 0.0, "b/y": 0.0, "b/z": 1.0}
    evidence = Evidence(values)
    for over in itertools.permutations("xyz"):
        assert {*quantities.first(evidence, "a/*", over).value.split(" = ")} == {"y", "z"}
        assert quantities.first(evidence, "a/*", over, ascending=True).value == "x"
        assert quantities.order(evidence, "a/*", over).value in ("y = z, x", "z = y, x")
        assert quantities.times_lowest(evidence, "?/*", over, ["a", "b"], "z").value == 0
        with pytest.raises(quantities.Missing, match=r"tie of \w and \w at b"):
            quantities.times_lowest(evidence, "?/*", over, ["a", "b"], "x")
    with pytest.raises(quantities.Missing, match="y and z are printed alike"):
        quantities.first(Evidence(values, half_units={}), "a/*", list("xyz"))


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
        ({"accept": {"within": 0.1, "at_most": 1}}, "accept needs one of"),
        ({"accept": {}}, "accept needs one of"),
        ({"printed": None}, "within needs printed"),
        ({"color": "red"}, "unexpected keyword argument 'color'"),
        ({"published": True}, "True is not of the type"),
        ({"strict": 1}, "1 is not of the type"),
        ({"accept": {"within": [0.1]}}, r"\[0.1\] is not of the type"),
    ],
)
def test_a_malformed_claim_is_named(tmp_path, change, message):
    path = tmp_path / "claims.yaml"
    entries = [claim()._asdict() | change]
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    with pytest.raises(UserError, match=rf"\bc\b.*{message}"):
        read_claims(path)


@pytest.mark.parametrize("other", ["a word", None, ["a list"]])
def test_a_list_of_more_than_claims_is_refused(tmp_path, other):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([claim()._asdict(), other]), encoding="utf-8")
    with pytest.raises(UserError, match="is no list of claims"):
        read_claims(path)


@pytest.mark.parametrize("text", ["{}", "claims: []", "a word", "3", ""])
def test_a_file_that_is_no_list_is_refused(tmp_path, text):
    path = tmp_path / "claims.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"claims\.yaml"):
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
        ("fvu_preservation_raw_fvu", DIFFERS),
        ("m4_dtd", REPRODUCED),
        ("h2", REPRODUCED),
        ("h2_direction", DIFFERS),
        ("hypotheses_confirmed", REPRODUCED),
        ("hypotheses_significant", DIFFERS),
        ("p_dtd", REPRODUCED),
        ("deit_lowest_7_of_9", REPRODUCED),
        ("deit_probing_auc", DIFFERS),
        ("raw_mae_z", DIFFERS),
        ("preservation_weaker", REPRODUCED),
        ("layer_monosemanticity", DIFFERS),
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
        for metric in metrics()
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
    for metric, label in titles(metrics()).items():
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
    others = {"retrained", "details", "rho_common", "as_run", "preregistration"}
    assert named - known <= others
    assert len(named & known) > 12


def test_the_views_of_the_verdicts(printed):
    table, _ = printed
    assert layout.as_latex(table).isascii()
    page = claims_page(table)
    for heading in ("Differs", "Reproduced", "Not computable here", "Second readings, not counted"):
        assert f"\n\n## {heading}\n\n|" in page  # Markdown wants a blank line on either side
    assert layout.as_csv(table).count("\n") >= len(table.rows) + 1


# ------------------------------------------------------------------ which printed number is which


NO_RESULTS = {
    *(f"text/hypothesis/h{number}/threshold" for number in range(1, 5)),
    "text/heatmap_cells_not_registered",
}


def test_every_printed_number_has_its_place_in_a_run(claims):
    about = {c.printed for c in claims}
    without = {key for key in read_published(PUBLISHED) if not evidence_key(key)} - about
    assert without == NO_RESULTS


def test_claims_state_the_numbers_that_are_printed(claims):
    published = read_published(PUBLISHED)
    stated = [c for c in claims if c.printed]
    assert len(stated) > 40
    for c in stated:
        assert c.published == published[c.printed].value, c.id


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("score/absorption/deit", 0.298),  # not the 7 of text/absorption/deit_lowest
        ("lift/retrieval/deit", 0.988),  # App. O, not the 0.99 of Table 8
        ("lift/dtd/siglip", 1.02),
        ("raw_moran/mae", -0.0052),
        ("null/mae", -0.005128),
        ("rank/fvu/clip", 1),
        ("rank_second/localization/clip", 2),
        ("rho/fvu/dtd", 0.7),  # printed as −0.70
        ("rho/sparse_probing/probing_inaturalist", 0.9),
        ("p_exact/sparse_probing/dtd", 0.017),
        ("family_p_exact/fvu", 2 / 120),
        ("dead_smallest/clip", 20.8),
    ],
)
def test_a_printed_number_is_found_by_its_own_key(key, value):
    assert from_published(PUBLISHED).values[key] == pytest.approx(value)


def test_two_prints_of_one_number_must_agree(tmp_path):
    path = tmp_path / "values.csv"
    text = (
        "key,value,unit,source,place,note\ntext/lift/dtd/mae,1.177,x,paper,§5,\n"
        "table_8/dtd/lift/mae,{},x,paper,§5,\n"
    )
    path.write_text(text.format("1.17"), encoding="utf-8")
    with pytest.raises(UserError, match="table_8/dtd/lift/mae and a line before it are both lift"):
        from_published(path)


# ------------------------------------------------------------------ a run


NAMES = {"dinov2": "dino_small", "clip": "clip_small", "siglip": "siglip_small",
         "deit": "deit_small", "mae": "mae_small"}  # fmt: skip
DATASETS = {"cub200": "digits", "dtd": "textures", "inaturalist": "organisms"}
SWEEPS = {"": ("main", "batchtopk"), "second": ("jumprelu", "jumprelu"),
          "early": ("layer_1", "batchtopk")}  # fmt: skip
SAES = [(8, 64), (8, 128), (16, 64), (16, 128)]
NULL = -1 / 63

RANKS = {
    metric: " ".join(rank_order(read_published(PUBLISHED), metric, "batchtopk"))
    for metric in metrics()
}
"""The paper's order of the backbones by each metric, best first."""


@functools.cache
def demo_roles():
    return Roles.of(Study(demo_config()))


@functools.cache
def at_rho(order, rho):
    """An order of the backbones with this ρ to another (both best first)."""
    own = order.split()
    for places in itertools.permutations(range(5)):
        if abs(statistics.spearman(range(5), places).rho - rho) < 1e-9:
            return " ".join(own[places.index(i)] for i in range(5))
    raise AssertionError(f"no order has ρ = {rho}")


def falling(order, lower_is_better=False):
    """Numbers of an order, apart by 0.1; of a task they are all positive."""
    return {
        backbone: 0.1 + 0.1 * place if lower_is_better else 0.9 - 0.1 * place
        for place, backbone in enumerate(order.split())
    }


def with_share(share):
    """Values of the four SAEs of each backbone that vary by `share` between the backbones."""
    # The sum of squares of the places is 10 (for four SAEs), of the steps 5 (on five backbones).
    between, within = math.sqrt(share / (10 * 4)), math.sqrt((1 - share) / (5 * 5))
    return {
        backbone: [0.5 + place * between + step * within for step in (-1.5, -0.5, 0.5, 1.5)]
        for place, backbone in enumerate(BACKBONES, start=-2)
    }


class Numbers(dict):
    """Name → {backbone: number, or four, one per SAE}, to be changed one by one.

    Names: `fvu` (headline), `fvu.mean_l0` (a reading), `second:fvu`, `early:fvu` (of the other
    sweeps), `raw:dtd`, `probing:dtd`, `kept:dtd`, `lift:dtd` (of tasks), `channels:mean`, `null`.
    """

    def __init__(self, changes=()):
        for sweep in ("", "second:", "early:"):
            for metric, order in RANKS.items():
                self.put(sweep + metric, order)
        for sweep in ("", "second:"):
            self.put(f"{sweep}fvu.mean_l0", [float(k) for _, k in SAES])
            self.put(f"{sweep}fvu.dead_fraction", 0.1)
        self.put("localization.z", 200.0)
        self.put("localization.iqr", 0.1)
        for reading in ("queen_minimum_1", "queen_minimum_5", "queen_minimum_20", "rook_minimum_5"):
            self.put(f"localization.{reading}", RANKS["localization"])
        for reading, number in (("within_class", 0.8), ("between_class", 0.5), ("baseline", 0.3)):
            self.put(f"monosemanticity.{reading}", number)
        for a, b in itertools.product((0.7, 0.8, 0.9), (0.3, 0.5, 0.7)):
            self.put(f"absorption.absorbed_alpha_{a}_beta_{b}", 0.3)
        for task in quantities.GROUPS["tasks"]:
            self.put(f"raw:{task}", RANKS["sparse_probing"])
            self.put(f"lift:{task}", 0.9)
        for task in DATASETS:
            self.put(f"probing:{task}", RANKS["sparse_probing"])
            self.put(f"kept:{task}", 0.9)
        self.put("channels:mean", 0.2)
        self.put("channels:z", 200.0)
        self.put("null", NULL)
        for key, value in dict(changes).items():
            self.put(key, value)

    def put(self, key, value):
        """`name` of all backbones (a number, an order, or a mapping) or `name/backbone`."""
        name, _, backbone = key.partition("/")
        if isinstance(value, str):
            value = falling(value, name.split(":")[-1] in LOWER_IS_BETTER)
        if not isinstance(value, dict):
            value = dict.fromkeys([backbone] if backbone else BACKBONES, value)
        self.setdefault(name, {}).update(value)

    def of_sae(self, name, backbone, number):
        value = self[name][backbone]
        return value[number] if isinstance(value, list) else value

    def score_rows(self):
        names = [name for name in self if name.partition(":")[0] in ("second", "early")]
        names += [name for name in self if ":" not in name and name != "null"]
        for name in names:
            sweep, _, score = name.rpartition(":")
            metric, _, reading = score.partition(".")
            for backbone, sae in itertools.product(self[name], range(4)):
                value = self.of_sae(name, backbone, sae)
                yield score_row(sweep, backbone, sae, metric, reading or "headline", value)
        for backbone, sae in itertools.product(BACKBONES, range(4)):
            null = self.of_sae("null", backbone, sae)
            yield score_row("", backbone, sae, "localization", "null", null)
            for task, dataset in DATASETS.items():
                raw, kept, area = (
                    self.of_sae(f"{name}:{task}", backbone, sae)
                    for name in ("raw", "kept", "probing")
                )
                for reading, value in {
                    "accuracy_raw": raw,
                    "accuracy_reconstructed": kept and raw * kept,
                    "preservation": kept,
                    "accuracy_codes_at_128": 1 - area,
                    "auc_codes_at_128": area,
                }.items():
                    reading = f"{dataset}_{reading}"
                    yield score_row("", backbone, sae, "cross_domain", reading, value)

    def downstream_rows(self):
        for task in quantities.GROUPS["tasks"]:
            name = f"classification_{DATASETS[task]}" if task in DATASETS else task
            for backbone in BACKBONES:
                raw = self[f"raw:{task}"][backbone]
                yield downstream_row(backbone, name, "raw", "raw", raw)
                for sae in range(4):
                    codes = raw and raw * self.of_sae(f"lift:{task}", backbone, sae)
                    yield downstream_row(backbone, name, "codes", f"sae_{sae}", codes)

    def raw_coherence(self):
        return {
            NAMES[backbone]: {
                "mean": self["channels:mean"][backbone],
                "z": self["channels:z"][backbone],
                "null": self["null"][backbone],
                "channels": 96,
            }
            for backbone in BACKBONES
        }

    def evidence(self, downstream=True):
        tasks = list(self.downstream_rows()) if downstream else None
        return from_run(list(self.score_rows()), demo_roles(), self.raw_coherence(), tasks)


def score_row(sweep, backbone, sae, metric, reading, value):
    """One row of `scores.csv`."""
    name, family = SWEEPS[sweep]
    expansion_factor, k = SAES[sae]
    higher = metric not in LOWER_IS_BETTER if reading == "headline" else None
    return {"backbone": NAMES[backbone], "layer": 3, "sae": f"sae_{sae}", "sweep": name,
            "family": family, "expansion_factor": expansion_factor, "sparsity": k, "metric": metric,
            "reading": reading, "value": value, "reason": None, "definition": "d",
            "higher_is_better": higher}  # fmt: skip


def downstream_row(backbone, task, representation, sae, value):
    """One row of `downstream_table`."""
    return {"backbone": NAMES[backbone], "layer": 3, "sae": sae, "task": task,
            "sweep": None if sae == "raw" else "main", "representation": representation,
            "reading": "headline", "value": value}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _quick_evidence():
    """Evidence has no use for the intervals of Table 3, and runs here differ in few metrics.

    One analysis of variance by statsmodels takes 20 ms, and the cases ask for 3,600. They ask for
    21,000 correlations by scipy, 1 ms each.
    """
    own, correlated = statistics.eta_squared, functools.cache(statistics.spearman)

    @functools.cache
    def analysed(content, shape):
        return own(np.frombuffer(content).reshape(shape))

    def once(values_bc):
        values_bc = np.asarray(values_bc, dtype=np.float64)
        return analysed(values_bc.tobytes(), values_bc.shape)

    def correlated_once(x, y):
        return correlated(tuple(x), tuple(y))

    with pytest.MonkeyPatch.context() as patch:
        for module in (statistics, numbers, quantities):
            patch.setattr(module, "spearman", correlated_once)
        patch.setattr(statistics, "eta_squared", once)
        patch.setattr(statistics, "eta_squared_intervals", lambda *_: None)
        yield


def shares(metrics, share):
    return {metric: with_share(share) for metric in metrics}


def on_tasks(tasks, order):
    return {f"raw:{task}": order for task in tasks}


def hypotheses_at(localization, monosemanticity, preservation, sparse_probing, h4="probing"):
    """Tasks to which the hypotheses' metrics have these ρ; the other reading of H4 fails."""
    other = "raw" if h4 == "probing" else "probing"
    return {
        "raw:segmentation": at_rho(RANKS["localization"], localization),
        "raw:cub200": at_rho(RANKS["monosemanticity"], monosemanticity),
        "raw:retrieval": at_rho(RANKS["preservation"], preservation),
        f"{h4}:inaturalist": at_rho(RANKS["sparse_probing"], sparse_probing),
        f"{other}:inaturalist": at_rho(RANKS["sparse_probing"], 0.0),
    }


def families_at(*rhos):
    """A second family whose ranks have these ρ to the first one's, metric by metric."""
    return {
        f"second:{metric}": at_rho(order, rho)
        for (metric, order), rho in zip(RANKS.items(), rhos, strict=True)
    }


def of_second(order):
    return {f"second:{metric}": order for metric in metrics()}


def lowest_in(settings, backbone, number):
    return {f"absorption.absorbed_{setting}/{backbone}": number for setting in settings}


SETTINGS = [f"alpha_{a}_beta_{b}" for a in (0.7, 0.8, 0.9) for b in (0.3, 0.5, 0.7)]
DEIT_LOWEST = lowest_in(SETTINGS, "deit", 0.2)
FVU, M1, M3, M4, M5 = (RANKS[m] for m in ("fvu", "localization", "preservation", "sparse_probing",
                                          "monosemanticity"))  # fmt: skip
THREE = ("cub200", "dtd", "inaturalist")
FIVE_TASKS = quantities.GROUPS["tasks"]
# ρ to it: of M1 0.3, of M3 −0.1, of M4 1.
PAPER_DTD = "siglip dinov2 clip deit mae"
# ρ to it: of M1 0.1, of M3 0.3, of M4 0.5.
M3_ABOVE_M1 = "siglip deit dinov2 mae clip"

CASES = {
    # ---------------------------------------------------------------- variance shares
    "backbone_over_90": (
        shares(["fvu", "preservation", "sparse_probing", "cross_domain"], 0.899),
        shares(["fvu", "preservation", "sparse_probing"], 0.899) | shares(["cross_domain"], 0.901),
    ),
    "backbone_over_60": (
        shares(["fvu", "cross_domain"], 0.599),
        shares(["fvu"], 0.599) | shares(["cross_domain"], 0.601),
    ),
    "backbone_over_60_checklist": (
        shares(["fvu", "cross_domain", "preservation"], 0.599),
        shares(["fvu", "cross_domain"], 0.599) | shares(["preservation"], 0.601),
    ),
    "hyperparameters_dominate_fvu_only": (shares(["fvu"], 0.499), shares(["fvu"], 0.501)),
    "hyperparameters_small": (shares(["absorption"], 0.951), shares(["absorption"], 0.949)),
    "three_quarters_m4_m6": (shares(["sparse_probing"], 0.651), shares(["sparse_probing"], 0.649)),
    "share_m1": (shares(["localization"], 0.897), shares(["localization"], 0.895)),
    "share_m2": (shares(["fvu"], 0.491), shares(["fvu"], 0.493)),
    "share_m3": (shares(["preservation"], 0.721), shares(["preservation"], 0.723)),
    "share_m4": (shares(["sparse_probing"], 0.767), shares(["sparse_probing"], 0.769)),
    "share_m5": (shares(["monosemanticity"], 0.817), shares(["monosemanticity"], 0.815)),
    "share_m6": (shares(["cross_domain"], 0.410), shares(["cross_domain"], 0.412)),
    "share_m7": (shares(["absorption"], 0.832), shares(["absorption"], 0.830)),
    "share_m1_without_mae": (
        {},
        {"localization": [0.1, 0.2, 0.3, 0.4], "localization/mae": [5.1, 5.2, 5.3, 5.4]},
    ),
    # ---------------------------------------------------------------- profile
    "dinov2_spatial": ({}, {"localization": "deit dinov2 clip siglip mae"}),
    "dinov2_concept_metrics": ({"monosemanticity": "clip dinov2 siglip deit mae"}, {}),
    "clip_siglip_monosemanticity": (
        {"monosemanticity": "siglip clip dinov2 deit mae"},
        {"monosemanticity": "siglip dinov2 clip deit mae"},
    ),
    "clip_siglip_probing": (
        {"sparse_probing": "dinov2 siglip clip deit mae"},
        {"sparse_probing": "siglip dinov2 clip deit mae"},
    ),
    "deit_trails": ({}, {"cross_domain": "siglip dinov2 deit clip mae"}),
    "deit_best_preservation": ({"preservation": "deit dinov2 mae siglip clip"}, {}),
    "mae_last": ({"cross_domain": "siglip dinov2 clip deit mae"}, {}),
    "no_backbone_wins": (
        dict.fromkeys(metrics()[1:], "dinov2 deit clip siglip mae")
        | {"localization": "deit dinov2 clip siglip mae"},
        dict.fromkeys(metrics(), "dinov2 deit clip siglip mae"),
    ),
    # ---------------------------------------------------------------- M1
    "moran_order": ({}, {"localization": "dinov2 clip deit siglip mae"}),
    "mae_at_null": ({"localization/mae": NULL - 0.0099}, {"localization/mae": NULL - 0.0101}),
    "mae_four_decimals": (
        {"localization/mae": NULL + 0.000049},
        {"localization/mae": NULL + 0.000051},
    ),
    "others_structured": ({"localization/siglip": 0.051}, {"localization/siglip": 0.049}),
    "others_z_150": (
        {"localization.z/deit": [200, 200, -151, 200]},
        {"localization.z/deit": [200, 200, -149, 200]},
    ),
    "all_reject_null": (
        {"localization.z/mae": [-2.1, 3, 3, 3]},
        {"localization.z/mae": [-1.9, 3, 3, 3]},
    ),
    "mae_indistinguishable": (
        {"localization.z/mae": [-1.9, 1, 1, 1]},
        {"localization.z/mae": [-2.1, 1, 1, 1]},
    ),
    "mae_narrow": ({"localization.iqr/mae": 0.00099}, {"localization.iqr/mae": 0.00101}),
    "dinov2_lead": (
        {"localization/dinov2": 0.5, "localization/deit": 0.368},
        {"localization/dinov2": 0.5, "localization/deit": 0.366},
    ),
    "raw_mae_at_null": ({"channels:mean/mae": NULL - 0.0099}, {"channels:mean/mae": NULL - 0.0101}),
    "raw_mae_z": ({"channels:z/mae": -1.99}, {"channels:z/mae": 2.01}),
    "raw_others_z": ({"channels:z/clip": 150.1}, {"channels:z/clip": 149.9}),
    "raw_range_low": ({"channels:mean/siglip": 0.111}, {"channels:mean/siglip": 0.109}),
    "raw_range_high": ({"channels:mean/dinov2": 0.429}, {"channels:mean/dinov2": 0.431}),
    "raw_order": ({"channels:mean": M1}, {"channels:mean": "dinov2 deit siglip clip mae"}),
    "coherence_kept": (
        {"localization": 0.3, "channels:mean": 0.3 / 0.739, "channels:mean/mae": 1.0},
        {"localization": 0.3, "channels:mean": 0.3 / 0.741, "channels:mean/mae": 1.0},
    ),
    "null_difference": (
        {"null/dinov2": -0.0039, "null/deit": -0.0039 - 0.00129},
        {"null/dinov2": -0.0039, "null/deit": -0.0039 - 0.00131},
    ),
    "minimum_patches_1": ({}, {"localization.queen_minimum_1": "deit dinov2 clip siglip mae"}),
    "minimum_patches_20": ({}, {"localization.queen_minimum_20": "deit dinov2 clip siglip mae"}),
    "contiguities_agree": (
        {},
        {"localization.rook_minimum_5": "deit dinov2 siglip clip mae"},
    ),
    # ---------------------------------------------------------------- M2 and M3
    "fvu_preservation": ({"preservation": at_rho(FVU, -0.7)}, {"preservation": at_rho(FVU, -0.6)}),
    "fvu_preservation_raw_fvu": (
        {"preservation": at_rho(FVU, 0.7)},
        {"preservation": at_rho(FVU, -0.7)},
    ),
    "fvu_preservation_sign": (
        {"preservation": at_rho(FVU, 0.3)},
        {"preservation": at_rho(FVU, 0.4)},
    ),
    "fvu_preservation_within": (
        {"fvu": [1.0, 2.0, 3.0, 4.0], "preservation": [2.0, 3.0, 4.0, 1.0]},  # −0.2
        {"fvu": [1.0, 2.0, 3.0, 4.0], "preservation": [2.0, 3.0, 4.0, 1.0]}
        | {"preservation/clip": [4.0, 2.0, 1.0, 3.0]},  # −0.4
    ),
    "clip_lowest_fvu": ({}, {"fvu": "siglip clip dinov2 deit mae"}),
    "clip_second_lowest_preservation": ({"preservation": "dinov2 deit mae clip siglip"}, {}),
    # ---------------------------------------------------------------- hypotheses
    "h1": ({"raw:segmentation": at_rho(M1, 0.7)}, {"raw:segmentation": at_rho(M1, 0.6)}),
    "h2": ({"raw:cub200": at_rho(M5, 0.5)}, {"raw:cub200": at_rho(M5, 0.6)}),
    "h2_value": ({"raw:cub200": at_rho(M5, 0.3)}, {"raw:cub200": at_rho(M5, 0.4)}),
    "h2_direction": ({"raw:cub200": at_rho(M5, 0.0)}, {"raw:cub200": at_rho(M5, 0.1)}),
    "h3": ({"raw:retrieval": at_rho(M3, 0.6)}, {"raw:retrieval": at_rho(M3, 0.5)}),
    "h3_below": ({"raw:retrieval": at_rho(M3, 0.5)}, {"raw:retrieval": at_rho(M3, 0.6)}),
    "h4": ({"probing:inaturalist": at_rho(M4, 0.7)}, {"probing:inaturalist": at_rho(M4, 0.6)}),
    "m4_inaturalist": (
        {"raw:inaturalist": at_rho(M4, 0.9)},
        {"raw:inaturalist": at_rho(M4, 0.8)},
    ),
    "m4_dtd": ({"raw:dtd": M4}, {"raw:dtd": at_rho(M4, 0.9)}),
    "m4_dtd_auc": ({"probing:dtd": M4}, {"probing:dtd": at_rho(M4, 0.9)}),
    "m4_cub": ({"raw:cub200": at_rho(M4, 0.8)}, {"raw:cub200": at_rho(M4, 0.7)}),
    "m4_cub_auc": ({"probing:cub200": at_rho(M4, 0.8)}, {"probing:cub200": at_rho(M4, 0.7)}),
    "m4_segmentation": (
        {"raw:segmentation": at_rho(M4, 0.4)},
        {"raw:segmentation": at_rho(M4, 0.5)},
    ),
    "m1_retrieval": ({"raw:retrieval": at_rho(M1, 0.8)}, {"raw:retrieval": at_rho(M1, 0.7)}),
    "m4_strongest": (on_tasks(FIVE_TASKS, M4), on_tasks(FIVE_TASKS, M1)),
    "m4_best_cub": ({"raw:cub200": M4}, {"raw:cub200": M1}),
    "m4_best_dtd": ({"raw:dtd": M4}, {"raw:dtd": M1}),
    "m1_best_segmentation": ({"raw:segmentation": M1}, {"raw:segmentation": M4}),
    "retrieval_metric": ({"raw:retrieval": M3}, {"raw:retrieval": M1}),
    "hypotheses_confirmed": (
        hypotheses_at(0.7, 0.5, 0.6, 0.7),
        hypotheses_at(0.7, 0.5, 0.6, 0.6),
    ),
    "hypotheses_confirmed_raw": (
        hypotheses_at(0.7, 0.5, 0.6, 0.7, "raw"),
        hypotheses_at(0.7, 0.5, 0.6, 0.6, "raw"),
    ),
    "hypotheses_significant": (
        hypotheses_at(0.9, 0.8, 0.9, 0.9),
        hypotheses_at(0.9, 0.8, 0.9, 0.8),
    ),
    "hypotheses_significant_raw": (
        hypotheses_at(0.9, 0.8, 0.9, 0.9, "raw"),
        hypotheses_at(0.9, 0.8, 0.9, 0.8, "raw"),
    ),
    "hypotheses_significant_exact": (
        hypotheses_at(1.0, 0.9, 1.0, 1.0),
        hypotheses_at(1.0, 0.9, 1.0, 0.9),
    ),
    # ---------------------------------------------------------------- FVU as a guide
    "fvu_predicts_no_task": (
        on_tasks(FIVE_TASKS, at_rho(FVU, 0.3)),
        on_tasks(FIVE_TASKS, at_rho(FVU, 0.3)) | {"raw:dtd": at_rho(FVU, 0.4)},
    ),
    # In the paper M5 ranks the backbones as FVU does, so that neither alone is the worst.
    "fvu_worst_selector": (
        on_tasks(THREE, at_rho(FVU, -1.0)) | {"monosemanticity": M1},
        on_tasks(THREE, at_rho(FVU, -1.0)),
    ),
    "preservation_weaker": (
        on_tasks(THREE, PAPER_DTD),
        on_tasks(THREE, PAPER_DTD) | {"raw:cub200": M3_ABOVE_M1},
    ),
    # ---------------------------------------------------------------- M5
    "high_between_class": (
        {"monosemanticity.between_class/dinov2": 0.301},
        {"monosemanticity.between_class/dinov2": 0.299},
    ),
    "within_class_higher": (
        {"monosemanticity.within_class/siglip": 0.501},
        {"monosemanticity.within_class/siglip": 0.499},
    ),
    # ---------------------------------------------------------------- M7
    "deit_lowest_absorption": (
        lowest_in(["alpha_0.8_beta_0.5"], "deit", 0.29),
        lowest_in(["alpha_0.8_beta_0.5"], "deit", 0.31),
    ),
    "deit_lowest_7_of_9": (
        DEIT_LOWEST | lowest_in(SETTINGS[:2], "mae", 0.1),
        DEIT_LOWEST | lowest_in(SETTINGS[:3], "mae", 0.1),
    ),
    "deit_exceptions": (
        DEIT_LOWEST | lowest_in(SETTINGS[7:], "mae", 0.1),
        DEIT_LOWEST | lowest_in(SETTINGS[6:8], "mae", 0.1),
    ),
    "mae_deit_converge": (
        lowest_in(["alpha_0.9_beta_0.7"], "mae", 0.251),
        lowest_in(["alpha_0.9_beta_0.7"], "mae", 0.249),
    ),
    "absorption_rises": (
        {"absorption.absorbed_alpha_0.8_beta_0.5": "siglip clip dinov2 mae deit"},
        {"absorption.absorbed_alpha_0.8_beta_0.5": "siglip clip mae dinov2 deit"},
    ),
    "deit_second_worst_probing": ({}, {"sparse_probing": "siglip dinov2 clip mae deit"}),
    "deit_worst_probing": ({"sparse_probing": "siglip dinov2 clip mae deit"}, {}),
    "deit_probing_value": ({"sparse_probing/deit": 0.517}, {"sparse_probing/deit": 0.519}),
    "deit_probing_auc": ({"sparse_probing/deit": 0.5}, {"sparse_probing/deit": 0.499}),
    "deit_high_absorption": (
        {"absorption": "mae dinov2 clip deit siglip"},
        {"absorption": "mae dinov2 deit clip siglip"},
    ),
    # ---------------------------------------------------------------- M6
    "raw_order_of_magnitude": (
        {"raw:dtd/mae": 0.5, "raw:inaturalist/mae": 0.0499},
        {"raw:dtd/mae": 0.5, "raw:inaturalist/mae": 0.0501},
    ),
    "dtd_best_preserved": ({"kept:dtd": 0.901}, {"kept:dtd": 0.901, "kept:dtd/siglip": 0.899}),
    "inaturalist_least_preserved": (
        {"kept:inaturalist": 0.899},
        {"kept:inaturalist": 0.899, "kept:inaturalist/mae": 0.901},
    ),
    "dtd_preservation_floor": (
        {"kept:dtd": 0.98, "kept:dtd/clip": 0.9571},
        {"kept:dtd": 0.98, "kept:dtd/clip": 0.9569},
    ),
    "deit_most_variable": (
        {"kept:cub200/deit": [0.7, 0.8, 0.9, 0.6], "kept:cub200/clip": [0.7, 0.8, 0.9, 0.7]},
        {"kept:cub200/deit": [0.7, 0.8, 0.9, 0.7], "kept:cub200/clip": [0.7, 0.8, 0.9, 0.6]},
    ),
    "deit_most_variable_dtd": (
        {"kept:dtd/deit": [0.7, 0.8, 0.9, 0.6], "kept:dtd/clip": [0.7, 0.8, 0.9, 0.7]},
        {"kept:dtd/deit": [0.7, 0.8, 0.9, 0.7], "kept:dtd/clip": [0.7, 0.8, 0.9, 0.6]},
    ),
    "dinov2_most_stable": (
        {"kept:cub200": [0.7, 0.8, 0.9, 0.6], "kept:cub200/dinov2": 0.9},
        {"kept:cub200": [0.7, 0.8, 0.9, 0.6], "kept:cub200/clip": 0.9},
    ),
    # ---------------------------------------------------------------- codes' lift
    "inversion_retrieval": (
        {"lift:retrieval": at_rho(M4, -0.7)},
        {"lift:retrieval": at_rho(M4, -0.6)},
    ),
    "inversion_dtd": ({"lift:dtd": at_rho(M4, -0.7)}, {"lift:dtd": at_rho(M4, -0.6)}),
    "inversion_cub": ({"lift:cub200": at_rho(M4, -0.5)}, {"lift:cub200": at_rho(M4, -0.4)}),
    "inversion_segmentation": (
        {"lift:segmentation": at_rho(M4, 0.7)},
        {"lift:segmentation": at_rho(M4, 0.8)},
    ),
    "segmentation_lift_below_1": (
        {"lift:segmentation/clip": 0.99},
        {"lift:segmentation/clip": 1.01},
    ),
    "lift_deit_retrieval": ({"lift:retrieval/deit": 1.037}, {"lift:retrieval/deit": 1.039}),
    "lift_dinov2_cub": ({"lift:cub200/dinov2": 0.937}, {"lift:cub200/dinov2": 0.935}),
    "lift_dinov2_segmentation": (
        {"lift:segmentation/dinov2": 0.799},
        {"lift:segmentation/dinov2": 0.801},
    ),
    "dinov2_segmentation_lead": (
        {"raw:segmentation/dinov2": 0.339, "raw:segmentation/clip": 0.1},
        {"raw:segmentation/dinov2": 0.341, "raw:segmentation/clip": 0.1},
    ),
    "codes_dtd_lead": (
        {"raw:dtd": 0.5, "lift:dtd/siglip": 0.901},
        {"raw:dtd": 0.5, "lift:dtd/siglip": 0.899},
    ),
    # ---------------------------------------------------------------- recommendations
    "best_cub": ({"raw:cub200": M1}, {"raw:cub200": M4}),
    "best_inaturalist": ({"raw:inaturalist": M1}, {"raw:inaturalist": M4}),
    "best_dtd": ({"raw:dtd": M4}, {"raw:dtd": M1}),
    "best_retrieval": ({"raw:retrieval": "deit clip mae siglip dinov2"}, {"raw:retrieval": M1}),
    "best_segmentation": ({"raw:segmentation": M1}, {"raw:segmentation": M4}),
    "mae_last_on_tasks": ({}, {"raw:dtd": "siglip dinov2 clip mae deit"}),
    # ---------------------------------------------------------------- layers
    "layer_probing": (
        {"early:sparse_probing": 0.0},
        {"early:sparse_probing": 0.0, "early:sparse_probing/clip": 0.99},
    ),
    "layer_absorption": (
        {"early:absorption": 0.0},
        {"early:absorption": 0.0, "early:absorption/siglip": 0.99},
    ),
    "layer_fvu": ({"early:fvu": 0.9, "early:fvu/dinov2": 0.01}, {"early:fvu": 0.9}),
    "layer_monosemanticity": (
        {"monosemanticity": "deit mae dinov2 clip siglip"},
        {"monosemanticity": "deit mae clip dinov2 siglip"},
    ),
    # ---------------------------------------------------------------- JumpReLU
    "families_agree": (families_at(1, 1, 1, 1, 1, 1, 0.8), families_at(1, 1, 1, 1, 1, 1, 0.7)),
    "families_significant": (
        families_at(0.9, 1, 0.9, 0.9, 1, 0.8, 0.9),
        families_at(0.8, 1, 0.9, 0.9, 1, 0.8, 0.9),
    ),
    "families_significant_exact": (
        families_at(1, 1, 1, 1, 1, 0.9, 1),
        families_at(1, 1, 1, 1, 0.9, 0.9, 1),
    ),
    "overall_first_family": (
        of_second("clip mae deit siglip dinov2"),
        dict.fromkeys(metrics(), "clip dinov2 deit siglip mae"),
    ),
    "overall_second_family": (
        {},
        of_second("dinov2 mae deit siglip clip"),
    ),
    "jumprelu_converged": (
        {"second:fvu.mean_l0/clip": 300.0, "second:fvu.mean_l0/deit": [64.0, 128.0, 64.0, 130.1]},
        {"second:fvu.mean_l0/clip": 300.0, "second:fvu.mean_l0/deit": [64.0, 125.9, 64.0, 130.1]},
    ),
    "jumprelu_fvu": ({"fvu": 0.1, "second:fvu": 0.166}, {"fvu": 0.1, "second:fvu": 0.168}),
    "jumprelu_fvu_all": (
        {"fvu": 0.1, "second:fvu": 0.2, "second:fvu/mae": 0.101},
        {"fvu": 0.1, "second:fvu": 0.2, "second:fvu/mae": 0.099},
    ),
    "jumprelu_probing": (
        {"sparse_probing": 0.5, "second:sparse_probing": 0.376},
        {"sparse_probing": 0.5, "second:sparse_probing": 0.374},
    ),
    "jumprelu_probing_all": (
        {"sparse_probing": 0.5, "second:sparse_probing": 0.4, "second:sparse_probing/clip": 0.499},
        {"sparse_probing": 0.5, "second:sparse_probing": 0.4, "second:sparse_probing/clip": 0.501},
    ),
    "clip_dead": (
        {"fvu.dead_fraction/clip": [0.9, 0.9, 0.3, 0.3], "second:fvu.dead_fraction/clip": 0.249},
        {"fvu.dead_fraction/clip": [0.9, 0.9, 0.3, 0.3], "second:fvu.dead_fraction/clip": 0.251},
    ),
    "clip_dead_outlier": (
        {
            "fvu.dead_fraction/clip": [0.3, 0.21, 0.4, 0.5],
            "fvu.dead_fraction/dinov2": [0.2, 0, 0, 0],
        },
        {
            "fvu.dead_fraction/clip": [0.3, 0.19, 0.4, 0.5],
            "fvu.dead_fraction/dinov2": [0.2, 0, 0, 0],
        },
    ),
    "others_dead": (
        {"second:fvu.dead_fraction/siglip": [0.9, 0.9, 0.149, 0.149]},
        {"second:fvu.dead_fraction/siglip": [0.1, 0.1, 0.151, 0.151]},
    ),
}
"""Claim → changes of `Numbers` with which it just holds, and with which it just does not."""


def test_every_claim_on_a_run_has_its_case(claims):
    assert set(CASES) == {c.id for c in claims if not c.only_paper}


@pytest.mark.parametrize("name", CASES)
def test_a_run_on_either_side_of_the_bound(claims, name):
    (tested,) = (c for c in claims if c.id == name)
    found = [judge(tested, Numbers(changes).evidence()) for changes in CASES[name]]
    assert [row["verdict"] for row in found] == [REPRODUCED, DIFFERS], found


def test_a_run_with_the_papers_ranks_gets_the_papers_verdicts_on_them(claims, printed):
    evidence = Numbers().evidence()
    of_ranks = [
        c for c in claims if "rank/" in str(c.arguments) or c.compute in ("between_metrics",)
    ]
    assert len(of_ranks) > 12
    for c in of_ranks:
        if not c.only_paper:
            assert judge(c, evidence)["verdict"] == printed[1][c.id]["verdict"], c.id


def test_equal_backbones_share_a_rank_of_table_9():
    assert dict(ranks_of("deit, clip = siglip, mae")) == {
        "deit": 1,
        "clip": 2,
        "siglip": 2,
        "mae": 4,
    }


# ------------------------------------------------------------------ what a run may lack


def test_roles_follow_paradigm_layout_and_family_and_never_a_permuted_arm():
    roles = Roles.of(Study(demo_config()))
    assert roles.backbones == {run: paper for paper, run in NAMES.items()}
    assert (roles.main, roles.jumprelu, roles.early) == ("main", "jumprelu", "layer_1")
    assert roles.tasks == {run: paper for paper, run in DATASETS.items()}
    arm = copy.deepcopy(demo_config())
    arm["sweeps"]["main"]["backbones"][3:4] = ["mae_permuted"]
    del arm["sweeps"]["token_order"]
    assert "mae" not in Roles.of(Study(arm)).backbones.values()
    paper = Roles.of(Study(paper_config()))
    assert paper.backbones == {name: name for name in NAMES}
    assert paper.early == "layer_3"


def test_an_early_sweep_is_of_the_main_family_and_a_task_of_a_data_set_that_is_scored():
    config = demo_config()
    config["sweeps"]["layer_1"]["family"] = "topk"
    assert Roles.of(Study(config)).early is None
    config = demo_config()
    del config["metrics"]["cross_domain"]["datasets"]["digits"]
    assert "cub200" not in Roles.of(Study(config)).tasks.values()


@pytest.mark.parametrize("lacking", ["mae", "dinov2"])
def test_what_is_taken_over_five_backbones_needs_all_five(claims, lacking):
    numbers = Numbers()
    for name in ("localization", "raw:retrieval", "second:fvu"):
        numbers[name][lacking] = None
    values = numbers.evidence().values
    assert not [key for key in values if key.startswith(("rank_first/fvu", "family_rho/fvu"))]
    assert "family_rho/preservation" in values
    assert not [key for key in values if key.startswith(("rank/localization", "share/local"))]
    assert not [key for key in values if key.endswith("/retrieval") and "rho" in key]
    assert not [key for key in values if key.startswith("rho/localization/")]
    assert "rho/fvu/dtd" in values
    assert ("share_without_mae/localization/backbone" in values) == (lacking == "mae")
    verdicts = {c.id: judge(c, Evidence(values))["verdict"] for c in claims}
    for name in ("h1", "hypotheses_confirmed", "retrieval_metric", "mae_last", "moran_order"):
        assert verdicts[name] == NOT_COMPUTABLE, name
    assert verdicts["mae_at_null"] == (NOT_COMPUTABLE if lacking == "mae" else DIFFERS)


def test_p_of_a_run_with_ties_is_that_of_its_ranks(claims):
    """Two equal backbones: ρ = 0.975, which no ranking without ties has."""
    changes = hypotheses_at(0.9, 0.8, 0.9, 0.9) | {"raw:segmentation": falling(M1)}
    changes["raw:segmentation"]["mae"] = changes["raw:segmentation"]["siglip"]
    evidence = Numbers(changes).evidence()
    key = "localization/segmentation"
    expected = statistics.spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 4])
    for name in ("rho", "p_t", "p_exact"):
        assert evidence.values[f"{name}/{key}"] == pytest.approx(getattr(expected, name))
    (significant,) = (c for c in claims if c.id == "hypotheses_significant")
    assert judge(significant, evidence)["found"] == 3


def test_codes_are_those_of_downstream_tasks_and_never_m6s_few(claims):
    evidence = Numbers().evidence(downstream=False)
    assert not [key for key in evidence.values if key.startswith(("codes/", "lift"))]
    assert evidence.values["raw/cub200/siglip"] == pytest.approx(0.9)
    assert "raw/retrieval/siglip" not in evidence.values
    verdicts = {c.id: judge(c, evidence)["verdict"] for c in claims}
    assert verdicts["lift_dinov2_cub"] == verdicts["inversion_cub"] == NOT_COMPUTABLE
    assert verdicts["best_cub"] == DIFFERS


def test_without_raw_channels_or_a_second_family_their_claims_are_not_judged(claims):
    numbers = Numbers()
    rows = [r for r in numbers.score_rows() if r["sweep"] == "main"]
    evidence = from_run(rows, demo_roles())
    verdicts = {c.id: judge(c, evidence)["verdict"] for c in claims}
    for name in ("raw_order", "raw_mae_z", "families_agree", "clip_dead", "layer_fvu"):
        assert verdicts[name] == NOT_COMPUTABLE
    assert verdicts["mae_four_decimals"] == DIFFERS


def test_dead_features_are_percent_of_the_saes_at_16x():
    values = Numbers(
        {
            "fvu.dead_fraction/clip": [0.9, 0.9, 0.3, 0.5],
            "second:fvu.dead_fraction/clip": [0.9, 0.9, 0.1, 0.2],
        }
    )
    found = values.evidence().values
    assert found["dead_first/clip"] == pytest.approx(40)
    assert found["dead_second/clip"] == pytest.approx(15)


@pytest.mark.parametrize("lacking", ["queen_minimum_5", "rook_minimum_5"])
def test_contiguities_are_compared_over_the_saes_that_have_both(lacking):
    rows = list(Numbers().score_rows())
    without = [
        row
        for row in rows
        if (row["reading"], row["backbone"], row["sae"]) != (lacking, NAMES["clip"], "sae_0")
    ]
    assert len(without) == len(rows) - 1
    assert from_run(without, demo_roles()).values["contiguity_rho"] == 1


def test_tasks_and_backbones_that_print_has_not_change_nothing():
    numbers = Numbers()
    rows, tasks = list(numbers.score_rows()), list(numbers.downstream_rows())
    others = [
        row | {"task": task}
        for task in ("classification_own", "classification_more")
        for row in tasks
    ]
    others += [row | {"backbone": "mae_permuted", "value": 0.1} for row in tasks]
    alone, beside = (
        from_run(rows, demo_roles(), downstream=found) for found in (tasks, tasks + others)
    )
    assert alone.values == beside.values


def test_a_setting_of_absorption_is_a_reading_of_absorption():
    """No other reading of it, and none of another metric that is called alike."""
    numbers = Numbers({"absorption.mean_f1_one": 0.5, "fvu.absorbed_alpha_0.7_beta_0.3": 0.5})
    found = {key for key in numbers.evidence().values if key.startswith("absorbed/")}
    settings = {setting.replace("_beta_", "/beta_") for setting in SETTINGS}
    assert found == {f"absorbed/{s}/{backbone}" for s in settings for backbone in BACKBONES}


def test_a_study_of_one_sae_has_means_and_no_spread():
    rows = [row for row in Numbers().score_rows() if row["sae"] == "sae_0"]
    found = from_run(rows, demo_roles()).values
    assert found["kept/dtd/mae"] == pytest.approx(0.9)
    assert not [key for key in found if "_std/" in key]
    two = [row for row in Numbers().score_rows() if row["sae"] in ("sae_0", "sae_1")]
    assert from_run(two, demo_roles()).values["kept_std/dtd/mae"] == 0


def test_evidence_is_read_from_the_files_of_a_run(tmp_path):
    numbers, files = Numbers(), []
    more = {"family": "batchtopk", "expansion_factor": 4, "sparsity": 8, "k": 8, "reason": None,
            "definition": "planted", "warnings": None}  # fmt: skip
    for name, written, rows in (
        ("scores", tidy.scores_table, numbers.score_rows()),
        ("downstream", tidy.downstream_table, numbers.downstream_rows()),
    ):
        files.append(tmp_path / f"{name}.csv")
        layout.write(written([more | row for row in rows]), {"csv": files[-1]})
    table_4 = tmp_path / "table_4.json"
    layout.write(layout.Table("Table 4", (), []), {"json": table_4})
    inputs = {"scores": files[0], "downstream": files[1], "table_4": table_4}
    settings = {"roles": asdict(Roles.of(Study(demo_config()))), "seed": 42}
    expected = numbers.evidence().values
    found = read_run(inputs, settings).values
    assert found == {k: v for k, v in expected.items() if not k.startswith(("raw_moran", "raw_z"))}


def test_an_eighth_metric_changes_no_verdict(claims, monkeypatch):
    """The paper's claims are about its seven, whatever else a study scores."""
    entry, own = EVALS["localization"], type(EVALS).__getitem__
    names = type(EVALS).names
    monkeypatch.setattr(type(EVALS), "names", lambda shelf: [*names(shelf), "eighth"])
    monkeypatch.setattr(
        type(EVALS),
        "__getitem__",
        lambda shelf, name: replace(entry, number=8) if name == "eighth" else own(shelf, name),
    )
    assert "eighth" in metrics()
    rows = list(Numbers().score_rows())
    eighth = [row | {"metric": "eighth"} for row in rows if row["metric"] == "localization"]
    alone, beside = (from_run(found, demo_roles()) for found in (rows, rows + eighth))
    assert beside.values == alone.values
    assert verdict_table(claims, beside) == verdict_table(claims, alone)


# ------------------------------------------------------------------ other readings of M4


@pytest.fixture
def read_anew():
    """A run in which only the accuracy has the paper's number, and precision has DeiT third."""
    return Numbers(
        {"sparse_probing.accuracy_at_128": M4, "sparse_probing.accuracy_at_128/deit": 0.418}
        | {"sparse_probing.accuracy_at_128/mae": 0.3}
        | {"sparse_probing.average_precision_at_128": "siglip dinov2 deit clip mae"}
        | DEIT_LOWEST
        | {"kept:cub200/mae": [0.8, 0.9, 1.0, None]}
        | {f"lift:{task}/mae": 0.8 for task in quantities.GROUPS["tasks"]}
    ).evidence()


def test_a_reading_is_shown_where_it_decides_otherwise_and_not_counted(claims, read_anew, tmp_path):
    assert set(read_anew.readings) == {"accuracy_at_128", "average_precision_at_128"}
    table = verdict_table(claims, read_anew)
    rows = {row["id"]: row for row in table.rows}
    assert rows["deit_probing_value"]["verdict"] == DIFFERS
    otherwise = rows["deit_probing_value@accuracy_at_128"]
    assert (otherwise["verdict"], otherwise["found"]) == (REPRODUCED, "0.418")
    assert otherwise["claim"].endswith("0.418. With M4 as top-1 accuracy at k = 128.")
    assert rows["deit_probing_auc@accuracy_at_128"]["verdict"] == DIFFERS
    assert rows["deit_second_worst_probing@average_precision_at_128"]["verdict"] == DIFFERS
    assert "deit_second_worst_probing@accuracy_at_128" not in rows
    assert not [
        name for name in rows if name.startswith(("share_m1", "moran_order")) and "@" in name
    ]
    counts = count_verdicts(table.rows)
    assert sum(counts.values()) == sum(not c.variant for c in claims)
    layout.write(table, {"json": tmp_path / "claims.json"})
    view = read_verdicts(tmp_path / "claims.json", CLAIMS)
    assert view.counts == counts
    assert view.notes == []  # this run has no numbers by the public code's definitions
    assert "@accuracy" in claims_page(table).partition("## Second readings")[2]
    assert "@accuracy" not in claims_page(table).partition("## Second readings")[0]


def test_claims_are_judged_by_the_definition_that_print_has(claims, tmp_path):
    """M4's area is the paper's number, its ROC-AUC is not; M3's order is by its second probe."""
    as_run = {"sparse_probing.as_run": M4, "sparse_probing.as_run/deit": 0.418}
    numbers = Numbers(
        as_run
        | {"sparse_probing.as_run/mae": 0.3, "sparse_probing": 0.9}
        | {"preservation.as_run": "deit dinov2 mae siglip clip"}
        | {"preservation": "dinov2 deit mae siglip clip"}
    )
    evidence = numbers.evidence()
    assert set(evidence.readings) == {"written"}
    judged = verdict_table(claims, evidence)
    layout.write(judged, {"json": tmp_path / "claims.json"})
    [said] = read_verdicts(tmp_path / "claims.json", CLAIMS).notes
    assert "M2, M3 and M4 are read as" in said
    assert "<code>as_run</code>" in said
    assert judged.notes[1] in claims_page(judged).partition("\n## ")[0]
    rows = {row["id"]: row for row in judged.rows}
    assert rows["deit_probing_value"]["verdict"] == REPRODUCED
    assert rows["deit_probing_value@written"]["verdict"] == DIFFERS
    assert rows["deit_probing_value@written"]["claim"].endswith(
        "With M2, M3 and M4 as the paper defines them."
    )
    assert rows["deit_probing_auc"]["verdict"] == DIFFERS
    assert rows["deit_best_preservation"]["verdict"] == REPRODUCED
    assert rows["deit_best_preservation@written"]["verdict"] == DIFFERS
    published = read_published(PUBLISHED)
    table = published_vs_run(
        published,
        run_values(published, claims, evidence),
        {"written": run_values(published, claims, evidence.readings["written"])},
    )
    about = [row for row in table.rows if row["key"] == "text/sparse_probing/deit"]
    assert [(row["reading"], row["run"]) for row in about] == [
        (None, pytest.approx(0.418)), ("written", pytest.approx(0.9))
    ]  # fmt: skip


# ------------------------------------------------------------------ print beside a run


def test_a_recorded_number_stands_beside_the_same_sae():
    roles = demo_roles()
    recorded = read_recorded(PUBLISHED)
    key = "recorded/dinov2/batchtopk_16x_k192/sparse_probing/as_run"
    row = {"backbone": NAMES["dinov2"], "sae": "batchtopk_16x_k192", "sweep": roles.main,
           "metric": "sparse_probing", "reading": "as_run", "value": 0.5}  # fmt: skip
    others = [
        row | {"sae": "batchtopk_8x_k64"},
        row | {"sweep": "jumprelu"},
        row | {"backbone": NAMES["clip"]},
        row | {"value": None, "metric": "fvu"},
    ]
    assert recorded_values(recorded, [row, *others], roles) == {key: 0.5}
    table = published_vs_run(recorded, {key: 0.5})
    (found,) = [line for line in table.rows if line["run"] is not None]
    assert (found["key"], found["source"], found["published"]) == (key, "recorded run", 0.5343)


def test_every_printed_number_stands_beside_the_runs(claims, read_anew):
    published = read_published(PUBLISHED)
    own = run_values(published, claims, read_anew)
    readings = {
        name: run_values(published, claims, other) for name, other in read_anew.readings.items()
    }
    table = published_vs_run(published, own, readings)
    headline = {row["key"]: row for row in table.rows if row["reading"] is None}
    assert list(headline) == list(published)
    lacking = {key for key, row in headline.items() if row["run"] is None}
    assert lacking == NO_RESULTS
    for key, expected in {
        "table_3/fvu/eta2_backbone": read_anew.values["share/fvu/backbone"],
        "table_9/localization/jumprelu/deit": 2,
        "table_6/mae/dtd/raw": 0.5,
        "table_6/mae/dtd/recon_mean": 0.5 * 0.9,
        "table_6/mae/dtd/preservation_mean": 0.9,
        "table_6/mae/cub200/preservation_std": 0.1,  # of a sample: 0.8, 0.9 and 1.0
        "table_8/retrieval/lift/deit": 0.9,
        "text/spearman/fvu/dtd": -read_anew.values["rho/fvu/dtd"],
        "text/spearman/fvu/preservation": -0.6,
        "text/localization/lead": 0.1,
        "text/mae_last": 4,
        "text/dead/largest_difference_of_others": 0,
        "text/jumprelu/configurations": 20,
    }.items():
        assert headline[key]["run"] == pytest.approx(expected), key
        assert headline[key]["difference"] == pytest.approx(expected - published[key].value)
    (anew,) = (r for r in table.rows if (r["key"], r["reading"]) ==
               ("text/sparse_probing/deit", "accuracy_at_128"))  # fmt: skip
    assert anew["difference"] == pytest.approx(0)
    about_m4 = {row["key"] for row in table.rows if row["reading"]}
    assert "table_9/localization/batchtopk/clip" not in about_m4
    assert layout.as_latex(table).isascii()
    assert not set("<>") & set(layout.as_latex(table))


def test_what_a_run_lacks_is_left_empty():
    published = {
        key: entry
        for key, entry in read_published(PUBLISHED).items()
        if key.startswith("table_4/mae/")
    }
    table = published_vs_run(published, {"table_4/mae/z": -3.17})
    assert [row["run"] for row in table.rows] == [None, None, -3.17]
    assert [row["difference"] for row in table.rows] == [None, None, pytest.approx(3.0)]
    first = layout.as_csv(table).splitlines()[1]
    assert first == "table_4/mae/mean,paper,Table 4,-0.0052,Moran's I,,,"
