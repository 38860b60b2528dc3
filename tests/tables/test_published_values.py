"""The shipped numbers: complete, as printed, and in line with what the paper derives from them."""

import csv
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from published_fixtures import rank_order

from visae.base.errors import UserError
from visae.evals.shelf import metrics
from visae.tables.published import PAPER, read_published, read_recorded
from visae.tables.statistics import spearman

PATH = Path(__file__).parents[2] / "resources" / "published_values.csv"
BACKBONES = ["dinov2", "clip", "siglip", "deit", "mae"]


@pytest.fixture(scope="module")
def published():
    return {key: entry.value for key, entry in read_published(PATH).items()}


@pytest.fixture(scope="module")
def rankings():
    """Score per backbone in `BACKBONES`' order, 5 for the best, from Table 9."""
    entries = read_published(PATH)
    return {
        (metric, family): _scores(rank_order(entries, metric, family))
        for metric in metrics()
        for family in ("batchtopk", "jumprelu")
    }


def _scores(order):
    """Best to worst → 5 … 1, in `BACKBONES`' order."""
    return [len(order) - order.index(backbone) for backbone in BACKBONES]


def _rho(x, y):
    return round(spearman(x, y).rho, 6)


def test_every_table_is_complete(published):
    counts = Counter(key.split("/")[0] for key in published)
    assert counts["table_3"] == 7 * 3
    assert counts["table_4"] == 5 * 3
    assert counts["table_6"] == 5 * 3 * 5
    assert counts["table_7"] == 9 * 5
    assert counts["table_8"] == 4 * 4
    assert counts["table_9"] == 7 * (2 * 5 + 2)
    assert counts["text"] == 98


def test_every_value_names_its_place_and_unit():
    with open(PATH, newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        assert reader.fieldnames == ["key", "value", "unit", "source", "place", "note"]
        for row in reader:
            assert row["unit"], row["key"]
            places = ("Table ", "§", "App. ", "Abstract") if row["source"] == PAPER else "commit "
            assert row["place"].startswith(places), row["key"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("table_3/sparse_probing/eta2_residual", 0.262),
        ("table_3/cross_domain/eta2_configuration", 0.549),
        ("table_4/siglip/z", 219.64),
        ("table_4/mae/mean", -0.0052),
        ("table_6/deit/cub200/preservation_std", 0.084),
        ("table_6/mae/inaturalist/recon_mean", 0.032),
        ("table_6/siglip/dtd/raw", 0.836),
        ("table_7/alpha_0.9/beta_0.5/mae", 0.555),
        ("table_7/alpha_0.7/beta_0.3/siglip", 0.502),
        ("table_8/cub200/p", 0.188),
        ("table_8/segmentation/lift/dinov2", 0.75),
        ("table_9/absorption/jumprelu/siglip", 5),
        ("table_9/cross_domain/batchtopk/mae", 4),
        ("text/spearman/fvu/preservation", -0.7),
        ("text/dead/clip/highest", 47.0),
    ],
)
def test_spot_values(published, key, value):
    assert published[key] == value


def test_parts_that_the_paper_repeats_agree(published):
    for backbone in BACKBONES:
        assert (
            published[f"table_7/alpha_0.8/beta_0.5/{backbone}"]
            == published[f"text/absorption/{backbone}"]
        )
    for task, backbone in (("cub200", "dinov2"), ("cub200", "siglip"), ("dtd", "siglip")):
        assert (
            published[f"table_6/{backbone}/{task}/raw"] == published[f"text/raw/{task}/{backbone}"]
        )


def test_table_3_sums_to_one_and_counts_as_the_abstract_says(published):
    shares = {
        metric: [published[f"table_3/{metric}/eta2_{part}"] for part in
                 ("backbone", "configuration", "residual")]
        for metric in metrics()
    }  # fmt: skip
    for parts in shares.values():
        assert sum(parts) == pytest.approx(1, abs=0.0016)
    backbone = np.array([parts[0] for parts in shares.values()])
    assert (backbone > 0.9).sum() == published["text/table_3/metrics_over_90_percent"]
    assert (backbone > 0.6).sum() == published["text/table_3/metrics_over_60_percent"]


def test_share_of_m6_rebuilds_from_table_6(published):
    """η² = .311 from the means and sample standard deviations over 12 configurations."""
    parts = np.array(
        [
            [published[f"table_6/{b}/inaturalist/preservation_{part}"] for part in ("mean", "std")]
            for b in BACKBONES
        ]
    )
    between = 12 * ((parts[:, 0] - parts[:, 0].mean()) ** 2).sum()
    within = 11 * (parts[:, 1] ** 2).sum()
    printed = published["table_3/cross_domain/eta2_backbone"]
    assert between / (between + within) == pytest.approx(printed, abs=0.001)
    population = 12 * (parts[:, 1] ** 2).sum()
    assert between / (between + population) != pytest.approx(printed, abs=0.01)


@pytest.mark.parametrize("metric", metrics())
def test_table_9_correlations_rebuild_from_its_rankings(published, rankings, metric):
    result = spearman(rankings[metric, "batchtopk"], rankings[metric, "jumprelu"])
    assert result.rho == pytest.approx(published[f"table_9/{metric}/rho"])
    assert result.p_t == pytest.approx(published[f"table_9/{metric}/p"], abs=5e-4)


@pytest.mark.parametrize("task", ["retrieval", "dtd", "cub200", "segmentation"])
def test_table_8_has_the_p_of_its_correlations_and_the_lifts_of_appendix_o(published, task):
    rho, p = (published[f"table_8/{task}/{name}"] for name in ("rho", "p"))
    orders = itertools.permutations(range(5))
    same = next(r for order in orders if abs((r := spearman(range(5), order)).rho - rho) < 1e-6)
    assert same.p_t == pytest.approx(p, abs=5e-4)
    for backbone in BACKBONES:
        rounded = published.get(f"table_8/{task}/lift/{backbone}")
        finer = published.get(f"text/lift/{task}/{backbone}")
        if rounded is not None and finer is not None:
            assert rounded == pytest.approx(finer, abs=0.005)


def _raw_scores(published, task):
    return [published[f"table_6/{backbone}/{task}/raw"] for backbone in BACKBONES]


@pytest.mark.parametrize(
    ("metric", "task", "sign"),
    [
        ("sparse_probing", "cub200", 1),
        ("sparse_probing", "dtd", 1),
        ("sparse_probing", "inaturalist", 1),
        ("monosemanticity", "cub200", 1),
        ("fvu", "cub200", -1),
        ("fvu", "dtd", -1),
        ("fvu", "inaturalist", -1),
    ],
)
def test_correlations_with_tasks_rebuild_from_raw_accuracies(
    published, rankings, metric, task, sign
):
    """FVU is lower-is-better and the paper correlates it raw: its sign is turned."""
    rho = sign * _rho(rankings[metric, "batchtopk"], _raw_scores(published, task))
    assert rho == published[f"text/spearman/{metric}/{task}"]


@pytest.mark.parametrize(
    ("task", "order", "metrics"),
    [
        (
            "segmentation",
            ["dinov2", "clip", "deit", "siglip", "mae"],
            {"localization": 1, "sparse_probing": 1, "fvu": -1},
        ),
        (
            "retrieval",
            ["deit", "dinov2", "siglip", "clip", "mae"],
            {"localization": 1, "preservation": 1, "fvu": -1},
        ),
    ],
)
def test_one_order_fits_what_is_printed_of_a_task(published, rankings, task, order, metrics):
    """Not every raw score of these tasks is printed, but the correlations leave one order."""
    known = {b: published.get(f"text/raw/{task}/{b}") for b in BACKBONES}

    def fits(candidate):
        printed = [known[b] for b in candidate if known[b] is not None]
        if printed != sorted(printed, reverse=True):
            return False
        if task == "segmentation" and candidate[:2] != ("dinov2", "clip"):  # "the next backbone"
            return False
        if task == "retrieval" and (candidate[0], candidate[-1]) != ("deit", "mae"):
            return False
        return all(
            sign * _rho(rankings[metric, "batchtopk"], _scores(list(candidate)))
            == published[f"text/spearman/{metric}/{task}"]
            for metric, sign in metrics.items()
        )

    fitting = [list(c) for c in itertools.permutations(BACKBONES) if fits(c)]
    assert fitting == [order]


def test_p_values_are_of_two_kinds(published, rankings):
    """ρ = 0.9 is printed with the t-approximation, ρ = 1 once with the exact p."""
    dtd = spearman(rankings["sparse_probing", "batchtopk"], _raw_scores(published, "dtd"))
    assert dtd.p_exact == pytest.approx(published["text/spearman_p/sparse_probing/dtd"], abs=5e-4)
    inaturalist = spearman(
        rankings["sparse_probing", "batchtopk"], _raw_scores(published, "inaturalist")
    )
    printed = published["text/spearman_p/sparse_probing/probing_inaturalist"]
    assert inaturalist.p_t == pytest.approx(printed, abs=5e-4)
    assert inaturalist.p_exact == pytest.approx(0.083, abs=5e-4)


def test_deit_is_lowest_in_seven_of_nine_settings(published):
    lowest = Counter()
    settings = {key.rsplit("/", 1)[0] for key in published if key.startswith("table_7/")}
    for setting in settings:
        lowest[min(BACKBONES, key=lambda b: published[f"{setting}/{b}"])] += 1
    assert lowest["deit"] == published["text/absorption/deit_lowest"]


def test_a_repeated_key_is_refused(tmp_path):
    path = tmp_path / "values.csv"
    head = "key,value,unit,source,place,note\n"
    path.write_text(f"{head}a,1,x,paper,§5,\na,2,x,paper,§5,\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 3: the key 'a' occurs twice"):
        read_published(path)
    path.write_text(f"{head}a,1,x,hearsay,§5,\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: the source 'hearsay' is neither"):
        read_published(path)


def test_recorded_runs_are_no_part_of_print(published):
    recorded = {key: entry.value for key, entry in read_recorded(PATH).items()}
    assert not set(recorded) & set(published)
    sae = "recorded/dinov2/batchtopk_16x_k192"
    assert recorded[f"{sae}/monosemanticity/as_run"] == pytest.approx(
        recorded[f"{sae}/monosemanticity/raw"] - recorded[f"{sae}/monosemanticity/as_run_baseline"]
    )
    assert recorded[f"{sae}/absorption/as_run"] == round(91 / 265, 3)
    assert all(key.startswith(sae) for key in recorded)
