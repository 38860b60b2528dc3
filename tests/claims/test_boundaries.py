"""Where a rule of claims begins to hold, on a few numbers: ties, bounds, rounding, gaps."""

import statistics

import pytest
from scipy import stats

from visae.claims import numbers, printed, quantities, verdicts
from visae.claims.beside import run_values
from visae.claims.evidence import Evidence
from visae.claims.quantities import Missing
from visae.claims.verdicts import DIFFERS, REPRODUCED, Claim, judge
from visae.study.roles import BACKBONES, PAPER_METRICS, Roles

AB = ["a", "b"]
FEW = Evidence(
    {"a/x": 2.0, "a/y": -3.0, "a/z": 5.0, "b/x": 4.0, "b/y": -3.0, "b/z": 1.0},
    {"a/x": 0.25, "a/z": 0.5, "b/x": 0.5},
)


@pytest.mark.parametrize(
    ("compute", "arguments", "value", "slack"),
    [
        ("value", {"key": "a/y"}, -3, 0), ("value", {"key": "a/y", "absolute": True}, 3, 0),
        ("value", {"key": "a/x"}, 2, 0.25),
        ("gap", {"key": "a/x", "less": "b/x"}, -2, 0.75),
        ("gap", {"key": "a/x", "less": "b/x", "absolute": True}, 2, 0.75),
        ("ratio", {"key": "a/x", "by": "b/x"}, 0.5, 0.125),  # ½ · (¼ / 2 + ½ / 4)
        ("smallest", {"pattern": "a/*"}, -3, 0), ("largest", {"pattern": "a/*"}, 5, 0.5),
        ("largest_gap", {"pattern": "a/*", "less": "b/*"}, 4, 0),
        ("mean", {"pattern": "a/*"}, 4 / 3, 0),
        ("mean_ratio", {"pattern": "a/*", "by": "b/*"}, (0.5 + 1 + 5) / 3, 0),
        ("count", {"pattern": "a/*", "above": 2}, 1, 0),
        ("count", {"pattern": "a/*", "above": 1.9}, 2, 0),
        ("count", {"pattern": "a/*", "below": 2}, 1, 0),
        ("count", {"pattern": "a/*", "at_least": 2}, 2, 0),
        ("count", {"pattern": "a/*", "above": -3, "below": 5}, 1, 0),
        ("count", {"pattern": "a/*"}, 3, 0),
        ("exceeding", {"pattern": "a/*", "than": "b/*"}, "z", 0),
        ("exceeding", {"pattern": "b/*", "than": "a/*"}, "x", 0),
        ("exceeding", {"pattern": "a/*", "than": "a/*"}, "none", 0),
        ("order", {"pattern": "a/*"}, "z, x, y", 0),
        ("order", {"pattern": "a/*", "ascending": True}, "y, x, z", 0),
        ("first", {"pattern": "a/*"}, "z", 0),
        ("first", {"pattern": "a/*", "ascending": True}, "y", 0),
        ("times_lowest", {"pattern": "?/*", "settings": ["a", "b"], "member": "y"}, 2, 0),
        ("times_lowest", {"pattern": "?/*", "settings": ["a", "b"], "member": "z"}, 0, 0),
        ("settings_not_lowest", {"pattern": "?/*", "settings": AB, "member": "y"}, "none", 0),
        ("settings_not_lowest", {"pattern": "?/*", "settings": AB, "member": "x"}, "a; b", 0),
    ],
)  # fmt: skip
def test_what_rules_compute(compute, arguments, value, slack):
    if "pattern" in arguments:
        arguments = arguments | {"over": ["x", "y", "z"]}
    found = getattr(quantities, compute)(FEW, **arguments)
    assert found == (pytest.approx(value) if not isinstance(value, str) else value,
                     pytest.approx(slack))  # fmt: skip


def five(prefix, values):
    return {f"{prefix}/{backbone}": v for backbone, v in zip(BACKBONES, values, strict=True)}


def test_correlations_of_ranks_with_scores():
    """Ranks 1 … 5 are the better the smaller; scores the better the larger."""
    values = {}
    for number, metric in enumerate(PAPER_METRICS):
        order = [1, 2, 3, 4, 5] if number else [2, 1, 3, 4, 5]
        values |= five(f"rank/{metric}", order if number < 6 else order[::-1])
    values |= five("raw/retrieval", [9, 7, 5, 3, 1]) | five("raw/dtd", [7, 9, 5, 3, 1])
    values |= five("other", [1, 1, 1, 1, 1])
    evidence = Evidence(values)
    first, second, last = PAPER_METRICS[0], PAPER_METRICS[1], PAPER_METRICS[6]

    def rho(metric, task, **more):
        return quantities.correlation(evidence, metric, f"{task}/*", **more).value

    assert rho(second, "raw/retrieval") == 1
    assert rho(last, "raw/retrieval") == -1
    assert rho(first, "raw/retrieval") == rho(second, "raw/dtd") == 0.9
    assert rho(first, "raw/dtd") == 1
    expected = stats.spearmanr([1, 2, 3, 4, 5], [2, 1, 3, 4, 5])
    assert rho(first, "raw/retrieval", statistic="p_t") == pytest.approx(expected.pvalue)
    with pytest.raises(Missing, match="one side does not vary"):
        rho(first, "other")
    assert quantities.between_metrics(evidence, first, second).value == 0.9
    assert quantities.between_metrics(evidence, first, second, flipped=True).value == -0.9
    assert quantities.between_scores(evidence, "raw/retrieval/*", "raw/dtd/*").value == 0.9
    tasks = ["retrieval"]
    assert quantities.worst_metric(evidence, tasks).value == last
    best = quantities.best_metric(evidence, tasks).value
    assert set(best.split(" = ")) == set(PAPER_METRICS[1:6])
    both = ["retrieval", "dtd"]
    assert quantities.not_weaker_on(evidence, first, [second], both).value == "dtd"
    assert quantities.not_weaker_on(evidence, second, [second], both).value == "retrieval, dtd"
    assert quantities.not_weaker_on(evidence, last, [second, first], both).value == "none"


def test_hypotheses_are_confirmed_by_rho_and_by_p():
    values = {"rho/fvu/dtd": 0.9, "rho/fvu/cub": 0.5, "p_t/fvu/dtd": 0.04, "p_exact/fvu/dtd": 0.08,
              "p_t/fvu/cub": 0.4}  # fmt: skip
    run, asked = Evidence(values), [("fvu", "dtd", 0.9), ("fvu", "cub", 0.5)]
    assert quantities.confirmed(run, asked).value == 2
    assert quantities.confirmed(run, [("fvu", "dtd", 0.91)]).value == 0
    assert quantities.confirmed(run, asked, p_at_most=0.04).value == 1
    assert quantities.confirmed(run, asked, p_at_most=0.039).value == 0
    assert quantities.confirmed(run, asked[:1], 0.05, "p_exact").value == 0
    print_ = Evidence({"rho/fvu/dtd": 0.9}, half_units={})
    assert quantities.confirmed(print_, asked[:1], 0.04).value == 1  # 0.037 by Student's t
    assert quantities.confirmed(print_, asked[:1], 0.04, "p_exact").value == 0


def test_the_first_and_the_last_by_mean_rank():
    orders = [[1, 2, 3, 4, 5], [2, 1, 3, 5, 4], *[[1, 2, 3, 4, 5]] * 5]
    values = {}
    for metric, order in zip(PAPER_METRICS, orders, strict=True):
        values |= five(f"rank_first/{metric}", order)
    found = quantities.overall(Evidence(values), "first").value
    assert found == f"{BACKBONES[0]} first, {BACKBONES[4]} last"


def test_the_share_of_a_factor_from_means_and_deviations():
    """Of 5 backbones with 4 SAEs each: by the sums of squares themselves."""
    means, deviations = [1.0, 2.0, 3.0, 4.0, 5.0], [0.5, 0.1, 0.2, 0.3, 0.4]
    values = five("kept/inaturalist", means) | five("kept_std/inaturalist", deviations)
    between = 4 * sum((m - 3) ** 2 for m in means)
    within = 3 * sum(d**2 for d in deviations)
    share = between / (between + within)
    found = quantities.share_from_spread(Evidence(values), 4)
    assert found == (pytest.approx(share), 0)
    rounding = {f"kept/inaturalist/{BACKBONES[0]}": 0.01}
    moved = quantities.share_from_spread(Evidence(values, rounding), 4)
    means[0] += 0.01
    centre = statistics.fmean(means)
    between = 4 * sum((m - centre) ** 2 for m in means)
    assert moved.slack == pytest.approx(abs(between / (between + within) - share))


@pytest.mark.parametrize(("ranking", "ranks"), [
    ("a, b, c", [("a", 1), ("b", 2), ("c", 3)]), ("a = b, c", [("a", 1), ("b", 1), ("c", 3)]),
    ("a, b = c", [("a", 1), ("b", 2), ("c", 2)]),
])  # fmt: skip
def test_ranks_of_a_ranking(ranking, ranks):
    assert list(numbers.ranks_of(ranking)) == ranks


def score(metric, value, reading="headline", sae="a"):
    return {"metric": metric, "reading": reading, "value": value, "backbone": "clip", "sae": sae}


def test_the_values_of_one_backbone():
    rows = [
        score("localization", -3.0, "z"), score("localization", 2.0, "z", "b"),
        score("localization", 0.25, "iqr"), score("localization", -0.5, "null"),
        score("localization", 0.5, "queen_minimum_5"), score("fvu", 0.5, "dead_fraction"),
        score("fvu", 0.25, "dead_fraction", "b"), score("fvu", 0.75, "dead_fraction", "c"),
        score("absorption", 0.125, "absorbed_alpha_0.8_beta_0.5"),
        score("fvu", 9.0, "absorbed_alpha_0.7_beta_0.5"), score("absorption", 9.0, "mean_f1_one"),
        score("cross_domain", 0.75, "mine_auc_codes_at_64"),
        score("cross_domain", 0.5, "mine_accuracy_reconstructed"),
        score("cross_domain", 0.25, "mine_accuracy_reconstructed", "b"),
        score("cross_domain", 0.5, "mine_preservation"), score("cross_domain", None, "as_run"),
        score("cross_domain", 1.0, "mine_accuracy_raw"),
        *(score("fvu", v, sae=s) for s, v in zip("abc", (0.1, 0.2, 0.3), strict=True)),
        *(score("preservation", v, sae=s) for s, v in zip("abc", (3, 2, 1), strict=True)),
    ]  # fmt: skip
    found = numbers._backbone_values(rows, "clip", {"mine": "dtd", "other": "cub200"})
    known = {key: value for key, value in found.items() if value is not None}
    assert known == {
        "null/clip": -0.5, "iqr/clip": 0.25, "z_smallest/clip": 2.0, "z_largest/clip": 3.0,
        "dead_smallest/clip": 25.0, "dead_largest/clip": 75.0, "rho_within/clip": 1.0,
        "moran_minimum_5/clip": 0.5, "absorbed/alpha_0.8/beta_0.5/clip": 0.125,
        "probing/dtd/clip": 0.75, "raw/dtd/clip": 1.0, "reconstructed/dtd/clip": 0.375,
        "reconstructed_std/dtd/clip": statistics.stdev([0.5, 0.25]), "kept/dtd/clip": 0.5,
    }  # fmt: skip
    assert {key for key, value in found.items() if value is None} == {
        "within_class/clip", "between_class/clip", "m5_baseline/clip", "moran_minimum_1/clip",
        "moran_minimum_20/clip", "kept_std/dtd/clip", "probing/cub200/clip", "raw/cub200/clip",
        "reconstructed/cub200/clip", "reconstructed_std/cub200/clip", "kept/cub200/clip",
        "kept_std/cub200/clip",
    }  # fmt: skip


def test_tasks_and_backbones_of_the_paper_alone_are_taken(monkeypatch):
    given = {"retrieval": {"own": 1.0, "odd": 2.0}, "classification_d": {"own": None},
             "classification_x": {"own": 3.0}}  # fmt: skip
    line = {"codes_mean": 0.5, "lift_mean": 1.5, "lift_std": None}
    lines = [line | {"task": t, "backbone": b}
             for t in ("classification_d", "other") for b in ("own", "odd")]  # fmt: skip
    monkeypatch.setattr(numbers, "task_values", lambda rows, sweep: given)
    monkeypatch.setattr(numbers, "codes_lift", lambda rows, sweep: type("T", (), {"rows": lines}))
    roles = Roles("main", None, None, {"own": "clip"}, {"d": "dtd"})
    assert numbers._downstream_values([], roles) == {
        "raw/retrieval/clip": 1.0, "codes/dtd/clip": 0.5, "lift/dtd/clip": 1.5
    }  # fmt: skip


def claim(**changes):
    own = {"id": "c", "place": "p", "claim": "It is.", "published": 0.5, "quantity": "it",
           "compute": "value", "arguments": {"key": "a"}, "accept": {"within": 0.1}}  # fmt: skip
    return Claim(**(own | changes))


@pytest.mark.parametrize(
    ("accept", "published", "rule"),
    [
        ({"within": 0.1}, -0.5, "−0.5 ± 0.1"), ({"equals": 2}, 2, "= 2"),
        ({"at_least": 0.25}, 1, "≥ 0.25"), ({"at_most": 3}, 1, "≤ 3"), ({"above": 0}, 1, "> 0"),
        ({"below": 1}, 1, "< 1"), ({"equals": "x"}, "x", "is 'x'"),
    ],
)  # fmt: skip
def test_rules_in_words(accept, published, rule):
    found = judge(claim(accept=accept, published=published), Evidence({}))
    assert found["rule"] == f"it: {rule}"
    assert {key: found[key] for key in ("id", "place", "claim", "published", "variant")} == {
        "id": "c", "place": "p", "claim": "It is.", "published": published, "variant": False
    }  # fmt: skip
    assert found["reason"] == "no value of a"
    if "within" in accept:
        print_ = judge(claim(accept=accept, published=published, printed="k"),
                       Evidence({}, half_units={"k": 1}))  # fmt: skip
        assert print_["rule"] == "it: −0.5 up to rounding"


@pytest.mark.parametrize(("value", "shown"), [(None, None), ("x", "x"), (-3, "−3"),
                                              (12345, "12345"),
                                              (-0.123456, "−0.1235"), (2.0, "2")])  # fmt: skip
def test_numbers_of_verdicts_as_words(value, shown):
    assert verdicts._shown(value) == shown


def test_a_difference_is_of_numbers_and_has_no_digits_of_rounding():
    found = judge(claim(published=0.1), Evidence({"a": 0.3}))
    assert (found["found"], found["difference"]) == (0.3, 0.2)
    for published, accept in (("x", {"equals": "x"}), (0.5, {"equals": 0.5})):
        named = claim(compute="first", arguments={"pattern": "a/*", "over": ["x"]}, accept=accept,
                      published=published)  # fmt: skip
        assert judge(named, Evidence({"a/x": 1.0}))["difference"] is None
    for value, verdict in ((0.5 + 9e-10, REPRODUCED), (0.5 + 1e-8, DIFFERS)):
        assert judge(claim(accept={"equals": 0.5}), Evidence({"a": value}))["verdict"] == verdict


@pytest.mark.parametrize(
    ("published", "key"),
    [
        ("table_3/fvu/eta2_backbone", "share/fvu/backbone"), ("table_4/mae/z", "raw_z/mae"),
        ("table_6/clip/dtd/recon_std", "reconstructed_std/dtd/clip"),
        ("table_7/alpha_0.7/beta_0.3/clip", "absorbed/alpha_0.7/beta_0.3/clip"),
        ("table_8/dtd/lift/clip", "lift/dtd/clip"), ("table_8/dtd/p", "lift_p_t/dtd"),
        ("table_9/fvu/jumprelu/clip", "rank_second/fvu/clip"), ("table_9/fvu/p", "family_p_t/fvu"),
        ("text/table_3/eta2_backbone_without_mae/fvu", "share_without_mae/fvu/backbone"),
        ("text/fvu/clip", "score/fvu/clip"), ("text/fvu/other", None), ("text/x/clip", None),
        ("text/localization/iqr/mae", "iqr/mae"), ("text/raw_localization/mae", "raw_moran/mae"),
        ("text/codes/dtd/clip", "codes/dtd/clip"), ("text/codes/dtd/other", None),
        ("text/spearman/fvu/dtd", "rho/fvu/dtd"), ("text/spearman/fvu/absorption", None),
        ("text/spearman_p/fvu/dtd", "p_exact/fvu/dtd"), ("text/spearman_p/fvu/cub", "p_t/fvu/cub"),
        ("text/dead/clip/highest", "dead_largest/clip"), ("text/dead/clip/other", None),
        ("text/dead/clip/jumprelu_16x", "dead_second/clip"), ("other", None),
    ],
)  # fmt: skip
def test_which_printed_number_is_which(published, key):
    assert printed.evidence_key(published) == key
    assert printed.orientation(published) == (-1 if key == "rho/fvu/dtd" else 1)


def test_raw_channels_have_their_null_without_any_sae():
    summary = {"mean": 0.25, "z": -3.0, "null": -0.125, "median": 9.0}
    roles = Roles("main", None, None, {"own": "clip", "empty": "mae"}, {})
    coherence = {"own": summary, "odd": dict.fromkeys(summary, 1.0),
                 "empty": dict.fromkeys(summary)}  # fmt: skip
    assert numbers.run_numbers([], roles, coherence, [], 42) == {
        "raw_moran/clip": 0.25, "raw_z/clip": -3.0, "null/clip": -0.125
    }  # fmt: skip


def test_beside_a_printed_number_stands_what_the_counted_claim_about_it_found():
    """The first of those that name it; a key that evidence has needs no claim."""
    evidence = Evidence({"a": 1.0, "b": 2.0, "c": 3.0, "score/fvu/clip": 4.0, "rho/fvu/dtd": 0.5})

    def about(key, printed="text/other", **changes):
        return claim(arguments={"key": key}, printed=printed, **changes)

    claims = [about("a", variant=True), about("d", None), about("b"), about("c"),
              about("absent", "text/third")]  # fmt: skip
    keys = ["text/other", "text/third", "text/fourth", "text/fvu/clip", "text/fvu/mae",
            "text/spearman/fvu/dtd"]  # fmt: skip
    assert run_values(keys, claims, evidence) == {
        "text/other": 2.0, "text/fvu/clip": 4.0, "text/spearman/fvu/dtd": -0.5
    }  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "value"),
    [({"at_least": 0}, -1e-9), ({"at_most": 0}, 1e-9), ({"equals": 0}, 1e-9),
     ({"within": 0}, 1e-9)],
)  # fmt: skip
def test_a_billionth_is_rounding(accept, value):
    for found, verdict in ((value, REPRODUCED), (1.001 * value, DIFFERS)):
        own = claim(accept=accept, published=0)
        assert judge(own, Evidence({"a": found}))["verdict"] == verdict


def test_a_lift_is_correlated_where_all_five_have_it_and_what_it_lifts():
    raw, lift = five("raw/dtd", [1, 2, 3, 4, 5]), five("lift/dtd", [5, 4, 3, 2, 1])
    found = numbers._across_backbones(raw | lift)
    assert found.keys() == {"lift_rho/dtd", "lift_p_t/dtd", "lift_p_exact/dtd"}
    assert found["lift_rho/dtd"] == -1
    first = next(iter(BACKBONES))
    for lacking in (raw, lift, {f"raw/dtd/{first}"}, {f"lift/dtd/{first}"}):
        some = {key: value for key, value in (raw | lift).items() if key not in lacking}
        assert numbers._across_backbones(some) == {}
