"""Where a rule of the tables begins to hold: ends of curves, tails, ties, what is not known."""

import math

import numpy as np
import pytest
from study_fixtures import paper_config

from visae.audit.cards import MATCHES
from visae.base.seals import write_document
from visae.evals.shelf import metrics
from visae.study.study import Study
from visae.tables import (
    coherence,
    correlations,
    matches,
    own_saes,
    scores,
    settings,
    statistics,
    summaries,
    tidy,
    token_order,
    variance,
)


def row(value, metric="fvu", reading="headline", backbone="clip", sweep="main", sae="a",
        factor=8, k=64, **changes):  # fmt: skip
    own = {
        "backbone": backbone, "layer": 11, "sae": sae, "sweep": sweep, "family": "batchtopk",
        "expansion_factor": factor, "sparsity": k, "metric": metric, "reading": reading,
        "value": value, "reason": None if value is not None else "unknown", "definition": "d",
        "higher_is_better": metric not in ("fvu", "absorption") if reading == "headline" else None,
    }  # fmt: skip
    return own | changes


# ---------------------------------------------------------------- statistics


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[1, 2, 3]], "needs values from 2 backbones and 2 configurations, has 1 and 3"),
        ([[1], [2], [3]], "needs values from 2 backbones and 2 configurations, has 3 and 1"),
        ([[1, np.nan], [2, np.nan]], "has 2 and 1"), ([[1, 2], [np.nan] * 2], "has 1 and 2"),
        ([[1, np.nan], [2, 3]], "3 values leave no degrees of freedom"),
        ([[2, 2], [2, 2]], "all values are equal"), ([[1, 2], [2, 1]], None),
    ],
)  # fmt: skip
def test_when_variance_can_be_divided(values, reason):
    found = statistics.eta_squared(np.array(values, float))
    assert (found.reason is None) == (reason is None)
    assert reason is None or reason in found.reason
    assert found.cells + found.missing == np.size(values)
    assert (found.backbone is None) == (reason is not None)


@pytest.mark.parametrize(("configurations", "there"), [(3, False), (4, True), (5, True)])
def test_intervals_are_of_four_configurations_or_more_and_around_the_share(configurations, there):
    random = np.random.default_rng(0)
    values = random.normal(size=(4, 1)) + 0.7 * random.normal(size=(4, configurations))
    values = np.concatenate([values, np.full((4, 1), np.nan)], axis=1)  # counts as none
    found = statistics.eta_squared_intervals(values, 3, resamples=50)
    assert (found is not None) == there
    if there:
        share = statistics.eta_squared(values)
        for name in ("backbone", "configuration", "residual"):
            low, high = getattr(found, name)
            assert 0 <= low < high <= 1
        assert found.backbone[0] < share.backbone < found.backbone[1] + 0.1
        again = statistics.eta_squared_intervals(values, 3, resamples=50)
        assert found == again != statistics.eta_squared_intervals(values, 4, resamples=50)


@pytest.mark.parametrize(
    ("x", "y", "rho", "n", "missing", "reason"),
    [
        ([1, 2], [1, 2], None, 2, 0, "needs 3 pairs, has 2"),
        ([1, 2, None, math.nan], [1, 2, 3, 4], None, 2, 2, "needs 3 pairs, has 2"),
        ([1, 2, 3, None], [3, 2, 1, 0], -1.0, 3, 1, None),
        ([1, 1, 1], [1, 2, 3], None, 3, 0, "one side does not vary"),
        ([1, 2, 3], [5, 5, 5], None, 3, 0, "one side does not vary"),
        ([1, 2, 3, 4], [1, 2, 4, 3], 0.8, 4, 0, None), ([1, 2, 3], [1, 3, 3], math.sqrt(0.75), 3,
                                                        0, None),
    ],
)  # fmt: skip
def test_when_ranks_correlate(x, y, rho, n, missing, reason):
    found = statistics.spearman(x, y)
    assert found.rho == (None if rho is None else pytest.approx(rho))
    assert (found.n, found.missing, found.reason) == (n, missing, reason)
    assert (found.p_t is None) == (found.p_exact is None) == (rho is None)
    if rho is not None:
        assert (found.p_t == 0) == (abs(rho) == 1)
    assert statistics.spearman(y, x).rho == found.rho


@pytest.mark.parametrize(("n", "known"), [(9, True), (10, False)])
def test_orders_are_counted_up_to_nine(n, known):
    order = [2, 1, *range(3, n + 1)]
    found = statistics.spearman(range(n), order)
    assert (found.p_exact is not None) == known
    assert found.p_t > 0


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((1, 2, 2), "has 1, 2 and 2"), ((2, 1, 2), "has 2, 1 and 2"), ((2, 2, 1), "has 2, 2 and 1"),
     ((2, 2, 2), None)],
)  # fmt: skip
def test_when_seeds_are_nested(shape, reason):
    values = np.random.default_rng(0).normal(size=shape)
    found = statistics.nested_shares(values)
    assert (found.reason is None) == (reason is None)
    assert reason is None or found.reason.endswith(reason)
    assert found.configurations == shape[2]
    if reason is None:
        parts = found.backbone + found.seed + found.configuration + found.residual
        assert parts == pytest.approx(1)
        assert 0 < found.p < 1
        gap = np.concatenate([values, np.full((2, 2, 1), np.nan)], axis=2)
        assert statistics.nested_shares(gap) == found
        assert statistics.nested_shares(np.ones(shape)).reason == "all values are equal"


# ---------------------------------------------------------------- Table 3


def test_lows_and_highs_of_table_3_are_those_of_the_intervals():
    random = np.random.default_rng(0)
    rows = [
        row(10 * b + random.normal() + 3 * k, backbone=f"b{b}", sae=f"s{k}", k=2**k)
        for b in range(3) for k in range(5)
    ]  # fmt: skip
    [line] = variance.table_3(rows, "main", seed=7).rows
    values, backbones, kinds = variance.variance_cells(rows)
    assert backbones == ["b0", "b1", "b2"]
    assert kinds == [(8, 2**k) for k in range(5)]
    shares, intervals = (statistics.eta_squared(values),
                         statistics.eta_squared_intervals(values, 7))  # fmt: skip
    for name in ("backbone", "configuration", "residual"):
        assert line[f"eta2_{name}"] == getattr(shares, name)
        assert [line[f"eta2_{name}_{end}"] for end in ("low", "high")] == list(
            getattr(intervals, name)
        )
    for factor in ("backbone", "configuration"):
        for test in "fp":
            assert line[f"{test}_{factor}"] == getattr(shares, f"{test}_{factor}")
    assert line["chance_backbone"] == 2 / 14
    assert line["chance_configuration"] == 4 / 14
    assert (line["cells"], line["missing"], line["reason"]) == (15, 0, None)


def test_a_chance_is_of_more_cells_than_levels():
    assert variance._chance(3, 3) is None
    assert variance._chance(3, 4) == 2 / 3


# ---------------------------------------------------------------- people's own SAEs


L0, FVU = own_saes.L0, own_saes.FVU


def curve(*points, metric="retrieval"):
    return {
        f"s{i}": {L0: l0, FVU: fvu, (metric, "headline"): value, "expansion_factor": 8}
        for i, (l0, fvu, value) in enumerate(points)
    }


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (8, 1.0, None), (32, 3.0, None), (16, 2.0, None), (8 * math.sqrt(2), 1.5, None),
        (7.9, None, "L0 7.9 is outside the study's 8 to 32"), (32.1, None, "L0 32.1 is outside"),
        (None, None, "its L0 is unknown"), (0, None, "its L0 is 0"),
    ],
)  # fmt: skip
def test_curves_are_read_from_end_to_end_and_no_further(at, value, reason):
    points = curve((8, 0.5, 1.0), (16, 0.4, 2.0), (32, 0.3, 3.0), (64, 0.2, None), (None, 0.2, 9))
    read, why = own_saes._read_off("retrieval", L0, at, points)
    assert read == (None if value is None else pytest.approx(value))
    assert (why is None) == (reason is None)
    assert reason is None or reason in why
    few = own_saes._read_off("retrieval", L0, 8, curve((8, 0.5, 1.0), (64, 0.2, None)))
    assert few == (None, "fewer than two SAEs of the study have retrieval and L0 there")


def test_the_line_of_an_own_sae_says_what_is_beside_it():
    points = curve((8, 0.5, 1.0), (32, 0.3, 3.0))
    own = {("retrieval", "headline"): 2.5, L0: 16, FVU: 0.5}
    line = own_saes._line("retrieval", own, points)
    assert line == {
        "metric": "retrieval", "value": 2.5, "l0": 16, "fvu": 0.5, "reason": None,
        "nearest": "s0", "nearest_l0": 8, "nearest_value": 1.0, "at_l0": pytest.approx(2.0),
        "over_l0": pytest.approx(0.5), "at_fvu": 1.0, "over_fvu": 1.5,
    }  # fmt: skip
    unknown = own_saes._line("retrieval", own | {("retrieval", "headline"): None}, points)
    assert (unknown["over_l0"], unknown["reason"]) == (None, "no value")
    beyond = own_saes._line("retrieval", own | {L0: 99, FVU: 0.9}, points)
    assert beyond["reason"].split("; ")[0].startswith("L0 99 is outside")
    assert beyond["reason"].split("; ")[1].startswith("FVU 0.9 is outside")
    assert (beyond["at_l0"], beyond["over_l0"], beyond["nearest"]) == (None, None, "s1")


# ---------------------------------------------------------------- coherence and its control


@pytest.mark.parametrize(
    ("mean", "z", "channels", "said"),
    [
        (0.5, None, 3, "not computable"), (0.5, 9.0, 0, "not computable"),
        (None, None, 0, "not computable"), (0.5, 2.0, 3, "consistent with the null"),
        (-0.9, -2.0, 3, "consistent with the null"), (0.5, 2.01, 3, "non-random, coherent"),
        (-0.5, -2.01, 3, "non-random, dispersed"), (0.0099, 9.0, 3, "near-null effect size"),
    ],
)  # fmt: skip
def test_what_is_concluded_from_coherence(mean, z, channels, said):
    found = coherence.table_4(
        {"b": {"mean": mean, "null": 0.0, "z": z, "channels": channels}}
    ).rows[0]
    assert found["conclusion"] == said
    assert (found["backbone"], found["mean"], found["channels"]) == ("b", mean, channels)
    assert (coherence.NULL_Z, coherence.NEAR_NULL_EFFECT) == (2.0, 0.01)


def test_the_predicted_spread_is_of_the_images():
    arm = {"arm": "x", "backbone": "b", "token_order": "raster", "grid": (3, 4), "mean": 0.5,
           "iqr": 0.1, "raw_mean": 0.2, "raw_z": 3.0, "images": 25}  # fmt: skip
    first, second = token_order.token_order_table([arm, arm | {"images": None}]).rows
    assert first["patches"] == 12
    assert first["permuted_mean"] == -1 / 11
    sd = token_order.permutation_sd((3, 4))
    assert first["permuted_sd"] == sd
    assert first["permuted_iqr"] == 1.349 * sd / 5
    assert second["permuted_iqr"] is None
    assert {key: first[key] for key in arm if key != "grid"} == {
        key: arm[key] for key in arm if key != "grid"
    }


# ---------------------------------------------------------------- correlations and summaries


def test_areas_of_m6_alone_are_what_is_transferred():
    name = "dtd_auc_codes_at_128"
    rows = [
        row(0.8, "cross_domain", name), row(0.6, "cross_domain", name, sae="b"),
        row(None, "cross_domain", name, sae="c"), row(0.1, "sparse_probing", name),
        row(0.1, "cross_domain", name, sweep="other"), row(0.1, "cross_domain", "dtd_accuracy"),
        row(0.9, "cross_domain", "cub_auc_codes_at_64", backbone="mae"),
    ]  # fmt: skip
    assert correlations.transfer_values(rows, "main") == {
        "sparse_probing_dtd": {"clip": pytest.approx(0.7)}, "sparse_probing_cub": {"mae": 0.9}
    }  # fmt: skip


def test_a_mean_and_a_deviation_are_of_what_is_known():
    assert summaries.summarised([]) == (None, None, 0, 0)
    assert summaries.summarised([None, 2.0]) == (2.0, None, 1, 1)
    assert summaries.summarised(v for v in (1.0, 3.0, None)) == (2.0, math.sqrt(2), 2, 1)


def test_ranks_begin_at_1_and_profiles_go_from_0_to_1():
    given = {"a": 3.0, "b": 1.0, "c": 3.0, "d": None, "e": 2.0}
    for metric, ranks, parts in (
        ("preservation", [1, 4, 1, None, 3], [1, 0, 1, None, 0.5]),
        ("fvu", [3, 1, 3, None, 2], [0, 1, 0, None, 0.5]),
    ):
        rows = [row(value, metric, backbone=name) for name, value in given.items()]
        lines = summaries.backbone_means(rows, "main").rows
        assert [line["rank"] for line in lines] == ranks
        assert [line["normalised"] for line in lines] == parts
        assert [line["saes"] for line in lines] == [1, 1, 1, 0, 1]
    equal = [row(2.0, backbone=name) for name in "ab"]
    lines = summaries.backbone_means(equal, "main").rows
    assert [(line["rank"], line["normalised"]) for line in lines] == [(1, None), (1, None)]


def test_layers_are_compared_by_pairs_that_are_known():
    rows = [row(1.0), row(3.0, sae="b"), row(None, sae="c"), row(7.0, sae="d"),
            row(2.0, sweep="late"), row(6.0, sweep="late", sae="b"),
            row(1.0, sweep="late", sae="c")]  # fmt: skip
    [line] = summaries.layer_comparison(rows, "main", "late").rows
    assert (line["early"], line["late"]) == (2.0, 4.0)
    assert (line["pairs"], line["missing"]) == (2, 1)
    [line] = summaries.layer_comparison(rows[2:3] + rows[6:], "main", "late").rows
    assert (line["early"], line["late"], line["pairs"], line["missing"]) == (None, None, 0, 1)


def test_one_reason_of_all_is_the_reason():
    assert scores.unscored([row(None), row(None)]) == "unknown"
    assert scores.unscored([row(None), row(1.0)]) is None
    assert scores.unscored([row(None), row(None, reason="other")]) is None
    assert scores.low_is_good(["fvu", "preservation", "absorption"]) == "fvu, absorption"
    assert scores.low_is_good(["preservation"]) == "none"


def test_one_sweeps_table_needs_no_comparison_of_origins(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(scores, "origin_of_sweeps", asked.append)
    monkeypatch.setattr(tidy, "read_rows", lambda paths: ["rows"])
    for paths in ("a.csv", tmp_path / "a.csv", ["a.csv"], ["a.csv", "b.csv"]):
        assert scores.read_scores(paths) == ["rows"]
    assert asked == [["a.csv", "b.csv"]]


# ---------------------------------------------------------------- matches and settings


def test_columns_of_patches_say_so(tmp_path):
    path = tmp_path / "card.json"
    found = {"items": 5, "mutual": 4, "above": 3, "median": 0.5, "control": [0.1, 0.2],
             "live": [7, 8], "shares": [0.3, 0.4]}  # fmt: skip
    card = {
        "left": "a/layer1/s",
        "right": "b/layer2/t",
        "apart": "grids",
        "kinds": {"images": found},
    }
    write_document(path, MATCHES, card)
    table = matches.matches_table([path], {"a": "A", "b": "B"})
    titles = {column.key: column.heading for column in table.columns}
    for key in ("mutual", "above", "median", "control", "left_live", "right_share"):
        assert titles[f"patch_{key}"].startswith("patches: ")
        assert not titles[key].startswith("patches: ")
        assert table.rows[0][f"patch_{key}"] is None
    assert table.rows[0] | {"control": 0.2, "left_live": 7, "right_live": 8, "left_share": 0.3,
                            "right_share": 0.4, "items": 5} == table.rows[0]  # fmt: skip
    assert table.notes[-1] == "Backbones: a = A, b = B."


def test_every_setting_of_training_stands_in_table_1():
    config = paper_config()
    config["sweeps"]["main"]["training"] = {
        "gradient_clip": None, "adam_beta1": 0.5, "seed": 9, "schedule": {"decay": 0.25},
    }  # fmt: skip
    study = Study(config, check=False)

    def told(sweep):
        own = study.sweeps[sweep]
        table = settings.table_1(study.config, sweep, True, dict.fromkeys(own.layers, 768),
                                 own.layers, own.saes)  # fmt: skip
        return {line["setting"]: line["value"] for line in table.rows}

    main, other = told("main"), told("jumprelu")
    assert list(main)[7:] == [
        "adam beta1", "training activations", "activation normalisation", "optimizer",
        "learning rate", "loss", "largest gradient norm", "batch size", "epochs", "seed",
        "precision", "inference threshold",
    ]  # fmt: skip
    assert (main["adam beta1"], main["seed"]) == ("0.5", "9")
    assert main["largest gradient norm"] == "none"
    assert main["learning rate"] == "0.001, linear fall to 0 over the last 25%"
    assert main["precision"] == "float16 on CUDA, float32 on CPU"
    assert main["loss"] == "squared errors, mean over dimensions and mean over tokens"
    assert main["optimizer"] == "Adam"
    assert other["recipe"] == "calibrated"
    assert (other["largest gradient norm"], other["seed"]) == ("1", "42")
    assert other["learning rate"] == "0.001, constant"
    assert set(main) - {"adam beta1"} - {"K values"} == set(other) - {"recipe"} - {
        "target L0 values"
    }
    study.config["training"] |= {"ragged_images": 5120, "threshold_rule": "batch_minimum"}
    ragged = told("main")
    assert "shards of 5120 images" in ragged["training activations"]
    assert ragged["inference threshold"] == (
        "mean, over batches of 8192 tokens, of the smallest kept code, on 1024 images of "
        "imagenet/val"
    )
    assert told("jumprelu")["inference threshold"] == other["inference threshold"]


def test_metrics_stand_in_one_order():
    rows = [row(1.0, metric) for metric in reversed(list(metrics()))]
    lines = summaries.backbone_means(rows, "main").rows
    assert [line["metric"] for line in lines] == list(metrics())
