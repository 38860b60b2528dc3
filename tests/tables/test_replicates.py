"""Pretraining repeated: the nested analysis of variance, its tables, the replicates' configs."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import yaml
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from visae.base.errors import UserError
from visae.evals.shelf import metrics, titles
from visae.figures import style
from visae.products.replicates_figure import make as across_seeds
from visae.study.config import checked, replicated
from visae.tables import statistics
from visae.tables.replicates import replicate_means, replicates

MINIATURE = Path(__file__).parents[2] / "profiles" / "miniature" / "study.yaml"


def planted(rng, backbone=1.0, seed=0.5, seeds=3, backbones=5, configurations=12):
    return (
        backbone * rng.normal(size=(1, backbones, 1))
        + seed * rng.normal(size=(seeds, backbones, 1))
        + 0.3 * rng.normal(size=(1, 1, configurations))
        + 0.2 * rng.normal(size=(seeds, backbones, configurations))
    )


def test_nested_shares_are_those_of_statsmodels():
    values_sbc = planted(np.random.default_rng(0))
    frame = pandas.DataFrame(
        [(f"r{s}_{b}", f"b{b}", f"c{c}", v) for (s, b, c), v in np.ndenumerate(values_sbc)],
        columns=["run", "backbone", "configuration", "value"],
    )
    coarse, fine = (
        anova_lm(ols(f"value ~ C({factor}) + C(configuration)", frame).fit()).sum_sq
        for factor in ("backbone", "run")
    )
    of_seeds = fine["C(run)"] - coarse["C(backbone)"]
    squares = [coarse["C(backbone)"], of_seeds, fine["C(configuration)"], fine["Residual"]]
    shares = statistics.nested_shares(values_sbc)
    assert shares[:4] == pytest.approx(list(np.array(squares) / sum(squares)))
    # Backbones against seeds within backbones: statsmodels on the runs' means alone.
    of_runs = frame.groupby(["run", "backbone"], as_index=False).value.mean()
    reference = anova_lm(ols("value ~ C(backbone)", of_runs).fit())
    assert shares.p == pytest.approx(reference["PR(>F)"].iloc[0])


def test_the_seed_is_told_apart_from_the_backbone():
    rng = np.random.default_rng(1)
    backbone_only = statistics.nested_shares(planted(rng, backbone=1.0, seed=0.01))
    seed_only = statistics.nested_shares(planted(rng, backbone=0.0, seed=1.0))
    assert backbone_only.backbone > 0.7
    assert backbone_only.seed < 0.02
    assert backbone_only.p < 0.01
    assert seed_only.seed > 0.4
    assert seed_only.p > 0.05


def test_configurations_with_a_gap_are_left_out():
    values_sbc = planted(np.random.default_rng(2))
    with_gap = values_sbc.copy()
    with_gap[1, 2, 3] = np.nan
    shares = statistics.nested_shares(with_gap)
    assert shares.configurations == 11
    assert shares == statistics.nested_shares(np.delete(values_sbc, 3, axis=2))


@pytest.mark.parametrize(
    ("values_sbc", "reason"),
    [
        (np.random.default_rng(0).normal(size=(1, 5, 4)), "2 seeds"),
        (np.full((3, 5, 4), np.nan), "has 3, 5 and 0"),
        (np.ones((3, 5, 4)), "equal"),
    ],
)
def test_what_cannot_be_computed_says_why(values_sbc, reason):
    shares = statistics.nested_shares(values_sbc)
    assert shares.backbone is None
    assert reason in shares.reason


def studies(values_sbc, metric="localization"):
    row = {"metric": metric, "sweep": "main", "reading": "headline", "layer": 3, "sae": "x",
           "family": "batchtopk"}  # fmt: skip
    return {
        f"study_{s}": [
            row | {"backbone": f"b{b}", "expansion_factor": 4, "sparsity": c, "value": float(value)}
            for (b, c), value in np.ndenumerate(values_bc)
        ]
        for s, values_bc in enumerate(values_sbc)
    }


def test_the_table_sets_seeds_beside_each_other():
    values_sbc = planted(np.random.default_rng(3))
    (line,) = replicates(studies(values_sbc), "main").rows
    alone = [statistics.eta_squared(values_bc).backbone for values_bc in values_sbc]
    assert (line["alone_low"], line["alone_high"]) == (min(alone), max(alone))
    assert line["alone_mean"] == pytest.approx(np.mean(alone))
    assert line["backbone"] == statistics.nested_shares(values_sbc).backbone
    assert line["seeds"] == 3
    assert -1 <= line["rho"] <= 1

    means = replicate_means(studies(values_sbc), ["main"]).rows
    found = {(row["study"], row["backbone"]): row["mean"] for row in means}
    assert found["study_2", "b4"] == pytest.approx(values_sbc[2, 4].mean())


def test_saes_that_missed_their_target_are_left_out_of_the_means():
    row = {"sweep": "jumprelu", "family": "jumprelu", "backbone": "b", "sparsity": 64, "layer": 3,
           "expansion_factor": 4, "metric": "fvu"}  # fmt: skip
    rows = [
        row | {"sae": sae, "reading": reading, "value": value}
        for sae, l0, fvu in (("hit", 65.5, 0.1), ("missed", 900.0, 0.9))
        for reading, value in (("headline", fvu), ("mean_l0", l0))
    ]
    [mean] = replicate_means({"one": rows}, ["jumprelu"]).rows
    assert (mean["mean"], mean["saes"], mean["left_out"]) == (0.1, 1, 1)


def test_where_nothing_differs_there_is_no_p():
    values_sbc = np.broadcast_to(np.arange(4.0), (3, 5, 4))  # the configurations alone
    shares = statistics.nested_shares(values_sbc)
    assert (shares.backbone, shares.seed, shares.configuration, shares.p) == (0, 0, 1, None)


def test_the_figure_is_drawn_also_where_a_metric_has_no_shares(tmp_path):
    given = studies(planted(np.random.default_rng(4)))
    shares, means = replicates(given, "main").rows, replicate_means(given, ["main"]).rows
    nothing = dict.fromkeys(shares[0]) | {"metric": "fvu", "reason": "needs 2 seeds", "seeds": 3,
                                          "configurations": 0}  # fmt: skip
    labels = {f"b{b}": f"B{b}" for b in range(5)}
    arms = [("main", backbone) for backbone in labels]
    files = []
    for attempt in "ab":
        figure = across_seeds.draw(
            [*shares, nothing], means, titles(metrics()), style.backbone_styles(labels), arms
        )
        paths = [tmp_path / f"{attempt}.{view}" for view in ("pdf", "png")]
        style.write(figure, dict(zip(("pdf", "png"), paths, strict=True)))
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]


def test_a_replicate_differs_in_the_backbones_seeds_only():
    config = yaml.safe_load(MINIATURE.read_text(encoding="utf-8"))
    replicate = replicated(config, 2)
    assert replicate["study"] == "miniature_2"
    assert "results/miniature/" not in yaml.safe_dump(replicate)
    checked(replicate)  # the schema accepts it
    seeds = {name: entry["seed"] for name, entry in config["backbones"].items()}
    assert {n: e["seed"] - seeds[n] for n, e in replicate["backbones"].items()} == dict.fromkeys(
        seeds, 1000
    )
    # The control has the weights of the backbone that it is compared with, and so its seed.
    assert replicate["backbones"]["mae_permuted"]["weights"] == (
        "results/miniature_2/pretraining/mae_small/weights.safetensors"
    )
    assert replicate["sweeps"] == config["sweeps"]
    assert replicate["seed"] == config["seed"]


def test_studies_of_other_grids_are_no_replicates():
    given = studies(planted(np.random.default_rng(5)))
    given["study_1"] = [row for row in given["study_1"] if row["backbone"] != "b4"]
    with pytest.raises(UserError, match="study_0 and study_1 have localization for different"):
        replicates(given, "main")
