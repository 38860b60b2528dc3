"""Tables 1, 2, 5, 7 and 9, correlations, selection and the token-order control: planted truth."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from study_fixtures import change, demo_config, paper_config

from visae.audit import choice as audit
from visae.products import PRODUCTS
from visae.products.table_5 import ENTRY
from visae.study.study import Study
from visae.tables import evaluators, family, foresight, layout, thresholds, token_order
from visae.tables import settings as settings_tables
from visae.tables.correlations import correlation_table
from visae.tables.published import read_published

PUBLISHED = Path(__file__).parents[2] / "resources" / "published_values.csv"
LABELS = {"dinov2": "DINOv2", "clip": "CLIP", "siglip": "SigLIP", "deit": "DeiT", "mae": "MAE"}


def row(backbone, metric, value, reading="headline", sweep="main", family="batchtopk",
        expansion=16, k=64):  # fmt: skip
    return {
        "backbone": backbone,
        "layer": 11,
        "sae": f"{family}_{expansion}x_{k}",
        "sweep": sweep,
        "family": family,
        "expansion_factor": expansion,
        "sparsity": k,
        "metric": metric,
        "reading": reading,
        "value": value,
        "reason": None,
        "definition": "d",
        "higher_is_better": metric not in ("fvu", "absorption") if reading == "headline" else None,
    }


# ------------------------------------------------------------------ Tables 1 and 2


def values(table):
    first, second = (column.key for column in table.columns)
    return {line[first]: line[second] for line in table.rows}


def table_1(sweep="main", config=None):
    study = Study(config or paper_config())
    own = study.sweeps[sweep]
    widths = dict.fromkeys(own.layers, 768)
    trained = not own.imported
    return settings_tables.table_1(study.config, sweep, trained, widths, own.layers, own.saes)


def test_table_1_of_the_papers_config_is_the_papers():
    told = values(table_1())
    assert told["SAE family"] == "BatchTopK"
    assert told["block, counted from 0"] == "11"
    assert told["input dimension D"] == "768"
    assert told["dictionary sizes F"] == "6144, 12288, 24576"
    assert told["K values"] == "64, 128, 192, 256"
    assert told["learning rate"].startswith("0.001")
    assert told["batch size"] == "8192 patch tokens"
    assert (told["epochs"], told["seed"]) == ("1", "42")
    assert "imagenet/train" in told["training activations"]
    assert "imagenet/val" in told["inference threshold"]


def test_table_1_of_other_sweeps_says_what_differs():
    jumprelu = values(table_1("jumprelu"))
    assert jumprelu["target L0 values"] == "64, 128"
    assert jumprelu["recipe"] == "calibrated"
    assert "learned" in jumprelu["inference threshold"]
    early = values(table_1("layer_3"))
    assert early["block, counted from 0"] == "3"
    assert "MAE" not in early["backbones"]


def test_table_1_of_saes_from_elsewhere_tells_no_training():
    config = paper_config()
    del config["sweeps"]["token_order"], config["sweeps"]["main"]["backbones"]
    config["sweeps"]["main"]["published"] = {"clip": "released/clip"}
    told = values(table_1(config=config))
    assert (told["training"], told["backbones"]) == ("not here", "CLIP ViT-B/16")
    assert told["dictionary sizes F"] == "6144, 12288, 24576"
    assert not {"optimizer", "learning rate", "batch size"} & told.keys()


def table_2(config):
    product = PRODUCTS["table_2"]
    return PRODUCTS.module("table_2", "make").make({}, product.settings(Study(config)))


def test_table_2_follows_the_config():
    config = paper_config()
    config["metrics"]["absorption"] = {"alpha": 0.75}
    config["metrics"]["monosemanticity"] = {"features": 99}
    told = values(table_2(config))
    assert next(iter(told)) == "M1 Localization"
    assert len(told) == 7
    assert "at least 50 such images" in told["M1 Localization"]
    assert "below 0.75 with 1 feature" in told["M7 Absorption"]
    assert "up to 99 live" in told["M5 Monosemanticity"]
    assert "inaturalist is the score" in told["M6 Cross-domain"]
    assert "20 % held out, seed 42" in told["M3 Preservation"]
    demo = demo_config()
    change(demo, "metrics.cross_domain", {})
    change(demo, "downstream.classification", False)
    del demo["interventions"]
    assert "not computed" in values(table_2(demo))[
        "M6 Cross-domain"
    ]  # fmt: skip


# ------------------------------------------------------------------ Table 5


def test_table_5_is_the_papers_pairing():
    table = evaluators.table_5(ENTRY.settings(Study(paper_config()))["evaluators"])
    pairs = {line["backbone"].split()[0]: line["evaluator"].split()[0] for line in table.rows}
    assert pairs == {"DINOv2": "CLIP", "CLIP": "DINOv2", "SigLIP": "DINOv2", "DeiT": "CLIP",
                     "MAE": "CLIP"}  # fmt: skip


def test_monosemanticity_by_evaluator_takes_the_headline_for_the_pair():
    rows = [
        row("dinov2", "monosemanticity", 0.2),
        row("dinov2", "monosemanticity", 0.4, k=128),
        row("dinov2", "monosemanticity", 0.9, "normalised_in_dinov2"),
        row("dinov2", "monosemanticity", 0.8, "raw_in_dinov2"),
        row("clip", "monosemanticity", 0.5),
        row("clip", "monosemanticity", None, "normalised_in_clip"),
        row("clip", "monosemanticity", 7.0, sweep="layer_3"),
    ]
    pairing = {"dinov2": "clip", "clip": "dinov2"}
    table = evaluators.monosemanticity_by_evaluator(rows, "main", pairing)
    cells = {(line["backbone"], line["evaluator"]): line for line in table.rows}
    assert cells["dinov2", "clip"]["mean"] == pytest.approx(0.3)
    assert cells["dinov2", "clip"]["saes"] == 2
    assert cells["dinov2", "clip"]["paired"]
    assert cells["dinov2", "dinov2"]["mean"] == 0.9
    assert not cells["dinov2", "dinov2"]["paired"]
    assert cells["clip", "dinov2"]["mean"] == 0.5
    assert cells["clip", "clip"] == {"backbone": "clip", "evaluator": "clip", "mean": None,
                                     "saes": 0, "paired": False}  # fmt: skip


# ------------------------------------------------------------------ Table 7


def sweep_rows(published):
    """Two SAEs per backbone whose absorbed shares have the published means."""
    for key, entry in published.items():
        if key.startswith("table_7/"):
            _, alpha, beta, backbone = key.split("/")
            for shift, k in ((0.01, 64), (-0.01, 128)):
                reading = f"absorbed_{alpha}_{beta}"
                yield row(backbone, "absorption", entry.value + shift, reading, k=k)


def test_table_7_of_the_published_rates_has_deit_lowest_in_seven_of_nine():
    published = read_published(PUBLISHED)
    table = thresholds.table_7(list(sweep_rows(published)), "main", LABELS)
    assert len(table.rows) == 9
    for line in table.rows:
        for backbone in LABELS:
            key = f"table_7/alpha_{line['alpha']}/beta_{line['beta']}/{backbone}"
            assert line[backbone] == pytest.approx(published[key].value)
    assert [line["lowest"] for line in table.rows] == 7 * ["deit"] + 2 * ["mae"]
    assert "of 9 settings: DeiT in 7, MAE in 2" in table.notes[0]


def test_table_7_names_ties_and_leaves_gaps():
    rows = [
        row("clip", "absorption", 0.5, "absorbed_alpha_0.7_beta_0.3"),
        row("mae", "absorption", 0.5, "absorbed_alpha_0.7_beta_0.3"),
        row("deit", "absorption", None, "absorbed_alpha_0.7_beta_0.3"),
        row("deit", "absorption", 0.1, "absorbed_alpha_0.7_beta_0.3", sweep="other"),
    ]
    first, *others = thresholds.table_7(rows, "main", LABELS).rows
    assert (first["lowest"], first["deit"]) == ("clip, mae", None)
    assert all(line["lowest"] is None for line in others)


# ------------------------------------------------------------------ Table 9


def family_rows(missed=()):
    """FVU of three backbones in two sweeps; JumpReLU's is 0.05 higher, and its L0 on target."""
    rows = []
    for (b, backbone), k in itertools.product(enumerate(("a", "b", "c")), (64, 128, 256)):
        rows += [
            row(backbone, "fvu", 0.1 * (b + 1) - k / 1e4, k=k),
            row(backbone, "fvu", k + 5.0, "mean_l0", k=k),
            row(backbone, "fvu", 0.2, "dead_fraction", k=k),
        ]
        if k == 256:
            continue  # the first sweep has a configuration more
        other = {"sweep": "jumprelu", "family": "jumprelu", "k": k}
        off = 3.0 if (backbone, k) in missed else 2.0
        rows += [
            row(backbone, "fvu", 0.1 * (b + 1) - k / 1e4 + 0.05, **other),
            row(backbone, "fvu", k + off, "mean_l0", **other),
            row(backbone, "fvu", 0.1, "dead_fraction", **other),
        ]
    return rows


def test_jumprelu_saes_off_target_are_listed_and_no_others():
    """A BatchTopK SAE has no target to miss on the evaluation data."""
    table = family.not_converged(family_rows([("b", 64)]), ("main", "jumprelu"))
    assert [(line["backbone"], line["target_l0"]) for line in table.rows] == [("b", 64)]
    assert "1 of 6 steered SAEs" in table.notes[0]
    elsewhere = [line | {"sweep": "another"} for line in family_rows([("a", 64)])]
    table = family.not_converged(family_rows([("b", 64)]) + elsewhere, ("main", "jumprelu"))
    assert "1 of 6 steered SAEs" in table.notes[0]
    unknown = [row("a", "fvu", None, "mean_l0", "jumprelu", "jumprelu")]
    assert len(family.not_converged(unknown, ("jumprelu",)).rows) == 1
    # An SAE of one's own whose files do not say its target misses none.
    table = family.not_converged([unknown[0] | {"sparsity": None, "value": 9.0}], ("jumprelu",))
    assert (table.rows, "0 of 0 steered SAEs" in table.notes[0]) == ([], True)


def test_table_9_ranks_with_and_without_the_missing_configurations():
    (line,) = family.table_9(family_rows(), "main", "jumprelu").rows
    assert line["metric"] == "fvu"
    assert (line["ranking_first"], line["ranking_second"]) == ("a, b, c", "a, b, c")
    assert (line["rho"], line["rho_common"], line["configurations_common"]) == (1.0, 1.0, 2)
    assert line["p_exact"] == pytest.approx(2 / 6)
    # Without its better configuration a falls behind b where only b's is left.
    rows = family_rows([("a", 128)])
    for one in rows:
        if (one["metric"], one["reading"]) == ("fvu", "headline") and one["sparsity"] == 128:
            one["value"] -= 0.25
    (line,) = family.table_9(rows, "main", "jumprelu").rows
    assert line["ranking_second"] == "b, a, c"
    assert line["rho"] == pytest.approx(0.5)
    assert (line["rho_common"], line["configurations_common"]) == (1.0, 1)


def test_family_differences_are_between_matched_saes():
    a, b, _ = family.family_differences(family_rows([("b", 64)]), "main", "jumprelu").rows
    assert (a["pairs"], b["pairs"]) == (2, 1)
    assert a["fvu_difference"] == pytest.approx(0.05)
    assert b["fvu_difference"] == pytest.approx(0.05)
    assert (a["dead_first"], a["dead_second"]) == pytest.approx((0.2, 0.1))
    assert a["sparse_probing_difference"] is None


# ------------------------------------------------------------------ correlations and selection


def test_only_lower_is_better_metrics_are_turned():
    rising = {"a": 0.1, "b": 0.2, "c": 0.3}
    metrics = {"fvu": rising, "preservation": rising, "absorption": {"a": None}}
    rows = correlation_table(metrics, {"task": {"a": 0.9, "b": 0.8, "c": 0.1}}).rows
    assert [row["rho"] for row in rows] == [-1, -1, None]
    assert [row["rho"] for row in foresight.turned(rows)] == [1, -1, None]


def test_selection_takes_the_best_and_the_metric_with_the_highest_rho():
    raw = {"task": {"a": 0.5, "b": 0.7, "c": None}, "other": {"a": None}}
    codes = {"task": {"a": 0.6, "b": 0.4}}
    cells = [
        {"metric": m, "task": "task", "rho": rho, "p_exact": 0.2, "n": 5}
        for m, rho in (("fvu", 0.3), ("absorption", None), ("localization", 0.8))
    ]
    task, other = foresight.backbone_selection(cells, raw, codes).rows
    assert (task["best_raw"], task["raw"], task["best_codes"], task["codes"]) == (
        "b", 0.7, "a", 0.6,
    )  # fmt: skip
    assert (task["metric"], task["rho"]) == ("localization", 0.8)
    assert (other["best_raw"], other["raw"], other["metric"]) == (None, None, None)


# ------------------------------------------------------------------ token order


def explicit_moran(maps, height, width):
    cells = [divmod(i, width) for i in range(height * width)]
    near = np.array(
        [[max(abs(r - s), abs(c - d)) == 1 for s, d in cells] for r, c in cells], dtype=float
    )
    centred = maps - maps.mean(axis=1, keepdims=True)
    top = np.einsum("ni,ij,nj->n", centred, near, centred)
    return len(cells) / near.sum() * top / (centred**2).sum(axis=1)


@pytest.mark.parametrize("active", [None, 4, 12])
def test_the_predicted_spread_is_that_of_permuted_maps(active):
    rng = np.random.default_rng(0)
    height, width = 5, 7
    if active is None:
        one = rng.normal(size=height * width)
    else:
        one = (np.arange(height * width) < active).astype(float)
    kurtosis = float(stats.kurtosis(one, fisher=False))
    maps = rng.permuted(np.tile(one, (20000, 1)), axis=1)
    values = explicit_moran(maps, height, width)
    assert values.mean() == pytest.approx(-1 / 34, abs=0.003)
    assert values.std() == pytest.approx(token_order.permutation_sd((height, width), kurtosis),
                                         rel=0.02)  # fmt: skip


@pytest.mark.parametrize("grid", [(2, 3), (2, 4)])
@pytest.mark.parametrize("shape", ["normal", "one", "two"])
def test_the_predicted_spread_is_exactly_that_of_all_orders(grid, shape):
    patches = grid[0] * grid[1]
    one = np.random.default_rng(1).normal(size=patches)
    if shape != "normal":
        one = (np.arange(patches) < (1 if shape == "one" else 2)).astype(float)
    kurtosis = float(stats.kurtosis(one, fisher=False))
    values = explicit_moran(np.array(list(itertools.permutations(one))), *grid)
    assert values.mean() == pytest.approx(-1 / (patches - 1), abs=1e-12)
    assert values.std() == pytest.approx(token_order.permutation_sd(grid, kurtosis), rel=1e-9)


def arm(**changes):
    return {"arm": "MAE, permuted", "backbone": "mae", "token_order": "permuted",
            "grid": (14, 14), "mean": -0.005, "iqr": 0.0008, "raw_mean": -0.0052, "raw_z": -6.17,
            "images": 3890} | changes  # fmt: skip


def test_the_published_spread_of_mae_is_that_of_some_4000_permuted_images():
    known, unknown = token_order.token_order_table([arm(), arm(images=None)]).rows
    assert known["permuted_mean"] == pytest.approx(-1 / 195)
    assert known["permuted_iqr"] == pytest.approx(0.0008, abs=1e-5)
    assert unknown["permuted_iqr"] is None


# ------------------------------------------------------------------ Figure 5's features


def test_audited_features_are_nearest_to_mean_and_high_quantile():
    moran = np.concatenate([np.linspace(0, 1, 201), [np.nan, 5.0]])
    chosen = audit.audit_features(moran)
    known = moran[~np.isnan(moran)]
    mean_gap = np.abs(moran - known.mean())
    assert mean_gap[chosen["mean-representative"]] == np.nanmin(mean_gap)
    assert (known > moran[chosen["top 5 %"]]).mean() == pytest.approx(0.025, abs=0.005)
    assert audit.audit_features([np.nan, np.nan]) == {}
    assert set(audit.audit_features([np.nan, 0.3]).values()) == {1}


# ------------------------------------------------------------------ views


def test_latex_of_every_table_is_ascii():
    rows = family_rows()
    tasks = {"t": {"a": 0.1, "b": 0.2, "c": 0.3}}
    cells = foresight.turned(correlation_table({"fvu": tasks["t"]}, tasks).rows)
    tables = [
        table_1(),
        evaluators.table_5(ENTRY.settings(Study(paper_config()))["evaluators"]),
        table_2(paper_config()),
        evaluators.monosemanticity_by_evaluator(rows, "main", {"a": "b"}),
        thresholds.table_7(rows, "main", LABELS),
        family.table_9(rows, "main", "jumprelu"),
        family.not_converged(rows, ("jumprelu",)),
        family.family_differences(rows, "main", "jumprelu"),
        foresight.backbone_selection(cells, tasks, {}),
        token_order.token_order_table([arm()]),
    ]
    for table in tables:
        assert layout.as_latex(table).isascii(), table.title
        assert layout.as_markdown(table)
        keys = {column.key for column in table.columns}
        assert all(keys <= set(line) for line in table.rows), table.title
