"""Tables: the tidy scores, the three views, and Tables 3 and 4 against planted scores."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from visae.base.errors import UserError
from visae.base.paths import TABLE_VIEWS
from visae.base.seals import write_beside, write_document
from visae.evals.results import FORMAT, KIND, described, load
from visae.evals.shelf import null_results
from visae.tables import agreement, coherence, layout, scores, statistics, summaries, tidy, variance

BACKBONES = ("dinov2", "clip", "mae")
CONFIGURATIONS = [(expansion, k) for expansion in (8, 16) for k in (64, 128)]


@pytest.fixture(autouse=True)
def planted_scores_are_read_as_they_are(monkeypatch):
    """The readings of these are of no metric: that a schema is asked, is tested elsewhere."""
    monkeypatch.setattr(tidy, "read_result", load)


def score(backbone, expansion, k, metric="fvu", value=0.1, **extra):
    return {
        "format": FORMAT,
        "metric": metric,
        "value": value,
        "reason": None,
        "definition": "equation_4",
        "higher_is_better": False,
        "readings": {"l0": float(k), "l0_missing": None},
        "details": {},
        "sae": {
            "backbone": backbone,
            "layer": 11,
            "name": f"batchtopk_{expansion}x_k{k}",
            "family": "batchtopk",
            "expansion_factor": expansion,
            "sparsity": k,
            "k": k,
            "sweep": "main",
            "warnings": [],
        },
        "data": {},
        "provenance": {},
        **extra,
    }


def write_scores(folder, all_scores):
    paths = []
    for number, content in enumerate(all_scores):
        paths.append(folder / f"{number}.json")
        write_document(paths[-1], KIND, content)
    return paths


def planted_rows(tmp_path, missing=()):
    """FVU = backbone effect + configuration effect + noise; null in the cells of `missing`."""
    rng = np.random.default_rng(0)
    values_bc = rng.normal(size=(3, 1)) + rng.normal(size=(1, 4)) + 0.2 * rng.normal(size=(3, 4))
    for cell in missing:
        values_bc[cell] = np.nan
    content = [
        score(backbone, *configuration)
        | ({"value": None, "reason": "diverged"} if (b, c) in missing else
           {"value": float(values_bc[b, c])})
        for b, backbone in enumerate(BACKBONES)
        for c, configuration in enumerate(CONFIGURATIONS)
    ]  # fmt: skip
    return scores.scores_table(write_scores(tmp_path, content)).rows, values_bc


def test_scores_table_has_one_row_per_sae_and_reading(tmp_path):
    paths = write_scores(
        tmp_path,
        [
            score("mae", 16, 64),
            score("clip", 16, 128, metric="absorption", value=None, reason="no eligible task"),
            score("clip", 16, 64, metric="localization", value=1),
            score("clip", 16, 64),
        ],
    )
    table = scores.scores_table(paths)
    assert [(r["backbone"], r["sparsity"], r["metric"], r["reading"]) for r in table.rows] == [
        (backbone, k, metric, reading)
        for backbone, k, metric in [
            ("clip", 64, "localization"),
            ("clip", 64, "fvu"),
            ("clip", 128, "absorption"),
            ("mae", 64, "fvu"),
        ]
        for reading in ("headline", "l0", "l0_missing")
    ]
    null = table.rows[6]
    assert (null["value"], null["reason"]) == (None, "no eligible task")
    assert table.rows[0]["higher_is_better"] is False
    assert table.rows[1]["higher_is_better"] is None
    assert layout.as_csv(table) == layout.as_csv(scores.scores_table(paths[::-1]))


@pytest.mark.parametrize("sparsity", [64, 0.001, 3e-7])
def test_scores_of_every_family_come_back_as_written(tmp_path, sparsity):
    table = scores.scores_table(write_scores(tmp_path, [score("clip", 8, sparsity)]))
    layout.write(table, {"csv": tmp_path / "scores.csv"})
    rows = scores.read_scores(tmp_path / "scores.csv")
    assert rows == table.rows
    assert {row["sparsity"] for row in rows} == {sparsity}
    assert all(type(row["sparsity"]) is type(sparsity) for row in rows)


def test_scores_come_back_as_written(tmp_path):
    values = [0.1 + 0.2, 1e-17, -0.0, None, 3.0]
    paths = write_scores(
        tmp_path, [score("clip", 8, 2**i, value=value) for i, value in enumerate(values)]
    )
    table = scores.scores_table(paths)
    layout.write(table, {"csv": tmp_path / "scores.csv"})
    assert scores.read_scores(tmp_path / "scores.csv") == table.rows
    text = (tmp_path / "scores.csv").read_text(encoding="utf-8")
    assert "0.30000000000000004," in text
    assert text.splitlines()[0] == (
        "backbone,layer,sae,sweep,family,expansion_factor,sparsity,k,metric,reading,value,reason,"
        "definition,higher_is_better,warnings"
    )


def test_tables_of_sweeps_join_to_the_table_of_all_scores(tmp_path):
    content = [
        score(backbone, 8, k, metric=metric) for backbone in ("mae", "clip") for k in (64, 128)
        for metric in ("fvu", "localization")
    ]  # fmt: skip
    for number in (1, 2, 5):
        content[number]["sae"] |= {"sweep": "jumprelu", "family": "jumprelu"}
    paths = write_scores(tmp_path, content)
    for sweep in ("main", "jumprelu"):
        mine = [p for p, c in zip(paths, content, strict=True) if c["sae"]["sweep"] == sweep]
        layout.write(scores.scores_table(mine), {"csv": tmp_path / f"{sweep}.csv"})
        origin = {"same": {"the code of fvu for SAEs": "aa"}, "versions": {"numpy": {"2.4.6": 4}}}
        scores.write_origin(tmp_path / f"{sweep}.origin.json", origin)
    tables = [tmp_path / "main.csv", tmp_path / "jumprelu.csv"]
    assert layout.as_csv(scores.joined(tables)) == layout.as_csv(scores.scores_table(paths))
    origin["same"]["the code of fvu for SAEs"] = "bb"
    scores.write_origin(tmp_path / "jumprelu.origin.json", origin)
    with pytest.raises(UserError, match="the sweep jumprelu differs from the other 1 in the code"):
        scores.read_scores(tables)
    assert scores.read_scores(tables[:1])


@pytest.mark.parametrize(("old", "new"), [(",0.1,", ",0.2,"), ("fvu", "ifv"), (",8,", ",16,")])
def test_an_edited_table_of_scores_is_refused(tmp_path, old, new):
    path = tmp_path / "scores.csv"
    table = scores.scores_table(write_scores(tmp_path, [score("clip", 8, 64)]))
    layout.write(table, {"csv": path})
    assert scores.read_scores(path) == table.rows
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for read in (scores.read_scores, tidy.read_rows):
        with pytest.raises(UserError, match=r"scores.csv has changed since .*: remove it and run"):
            read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [(",0.1,", ",nan,"), (",0.1,", ",high,"), (",false,", ",no,"), (",11,", ",11.5,")],
)
def test_cells_that_their_column_does_not_allow_are_named_with_their_line(tmp_path, old, new):
    """Behind a valid seal."""
    path = tmp_path / "scores.csv"
    text = layout.as_csv(scores.scores_table(write_scores(tmp_path, [score("clip", 8, 64)])))
    assert old in text
    write_beside(path, layout.FORMAT, text.replace(old, new))
    with pytest.raises(UserError, match=r"scores.csv.*line 2"):
        scores.read_scores(path)


def test_an_unknown_metric_is_named(tmp_path):
    paths = write_scores(tmp_path, [score("clip", 8, 64, metric="sharpness")])
    with pytest.raises(
        UserError, match=r"0\.json: there is no metric or task 'sharpness'.*there are"
    ):
        scores.scores_table(paths)


@pytest.mark.parametrize("missing", [(), ((1, 2),)])
def test_table_3_holds_the_shares_of_each_metric(tmp_path, missing):
    rows, values_bc = planted_rows(tmp_path, missing)
    (line,) = variance.table_3(rows, "main").rows
    expected = statistics.eta_squared(values_bc)
    assert line["metric"] == "fvu"
    assert "95 % bootstrap interval" in variance.table_3(rows, "main").notes[1]
    # The axes are sorted by name, which leaves the shares as they are.
    assert line["eta2_backbone"] == pytest.approx(expected.backbone)
    assert line["eta2_configuration"] == pytest.approx(expected.configuration)
    assert line["eta2_residual"] == pytest.approx(expected.residual)
    assert (line["cells"], line["missing"]) == (12 - len(missing), len(missing))
    assert 0 <= line["eta2_backbone_low"] <= line["eta2_backbone_high"] <= 1
    assert line["chance_backbone"] == pytest.approx(2 / (11 - len(missing)))
    assert line["chance_configuration"] == pytest.approx(3 / (11 - len(missing)))


def test_table_3_without_a_backbone_and_of_one_sweep_only(tmp_path):
    rows, values_bc = planted_rows(tmp_path)
    other = [{**row, "sweep": "layer_3", "value": 9.0} for row in rows]
    (line,) = variance.table_3(other + rows, "main", without=("mae",)).rows
    assert line["cells"] == 8
    assert line["eta2_backbone"] == pytest.approx(statistics.eta_squared(values_bc[:2]).backbone)


def test_table_3_sorts_by_the_backbone_share_and_ends_with_what_is_unknown(tmp_path):
    content = []
    for b, backbone in enumerate(BACKBONES):
        for c, configuration in enumerate(CONFIGURATIONS):
            values = {
                "localization": None,
                "fvu": c + 0.1 * b + 0.01 * b * c,
                "absorption": b + 0.1 * c + 0.01 * b * c,
            }
            content += [score(backbone, *configuration, m, v) for m, v in values.items()]
    lines = variance.table_3(scores.scores_table(write_scores(tmp_path, content)).rows, "main").rows
    assert [line["metric"] for line in lines] == ["absorption", "fvu", "localization"]
    assert lines[-1]["eta2_backbone"] is None
    assert "needs values" in lines[-1]["reason"]


def test_two_scores_of_one_cell_are_refused(tmp_path):
    rows, _ = planted_rows(tmp_path)
    with pytest.raises(UserError, match="Two scores of fvu are of batchtopk_8x_k64 on clip"):
        variance.table_3(rows + [{**row, "layer": 3} for row in rows], "main")


def test_an_unknown_sparsity_is_a_configuration_of_its_own():
    about = {"metric": "fvu", "backbone": "clip", "layer": 11, "expansion_factor": 8}
    sizes = (("own", None, 0.3), ("large", 128, 0.1), ("small", 64, 0.2))
    rows = [about | {"sae": sae, "sparsity": k, "value": value} for sae, k, value in sizes]
    values_bc, _, configurations = variance.variance_cells(rows)
    assert configurations == [(8, 64), (8, 128), (8, None)]
    assert values_bc.tolist() == [[0.2, 0.1, 0.3]]


def test_saes_of_one_configuration_count_once(tmp_path):
    rows, _ = planted_rows(tmp_path)
    once = variance.table_3(rows, "main").rows
    # Each row's own distance: one that all shared would leave every variance as it is.
    apart = np.random.default_rng(0).normal(size=len(rows))
    replicates = [
        {**row, "sae": f"{row['sae']}_{name}", "value": row["value"] and row["value"] + shift}
        for row, distance in zip(rows, apart, strict=True)
        for name, shift in (("seed_1", -distance), ("seed_2", distance))
    ]
    for one, two in zip(once, variance.table_3(replicates, "main").rows, strict=True):
        assert one["cells"] == two["cells"]
        for key, value in one.items():
            assert two[key] == (
                pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            )


@pytest.mark.parametrize(
    ("summary", "conclusion"),
    [
        ({"mean": 0.3829, "null": -0.0039, "z": 202.03, "channels": 768}, "non-random, coherent"),
        ({"mean": -0.0052, "null": -0.0051, "z": -6.17, "channels": 768}, "near-null effect size"),
        ({"mean": -0.004, "null": -0.0051, "z": 1.2, "channels": 9}, "consistent with the null"),
        ({"mean": -0.2, "null": -0.0051, "z": -30.0, "channels": 9}, "non-random, dispersed"),
        ({"mean": None, "null": -0.0051, "z": None, "channels": 0}, "not computable"),
    ],
)
def test_table_4_concludes_from_z_and_from_the_effect(summary, conclusion):
    (row,) = coherence.table_4({"a": summary}).rows
    assert row == {"backbone": "a", **summary, "conclusion": conclusion}


@pytest.fixture
def small_table():
    return layout.Table(
        "Shares & more",
        (
            layout.Column("name", "Name|s"),
            layout.Column("share", "η² of_all", digits=3),
            layout.Column("n", "n"),
        ),
        [
            {"name": "a_b", "share": 1 / 3, "n": 12},
            {"name": "50 %", "share": -0.0004, "n": None},
            {"name": "c", "share": -1.5, "n": 3},
            {"name": 'd, "e"', "share": None, "n": 0},
        ],
        ("A note: ρ ≥ 0.",),
    )


def test_csv_keeps_every_digit(small_table):
    rows = list(csv.DictReader(io.StringIO(layout.as_csv(small_table))))
    assert float(rows[0]["share"]) == 1 / 3
    assert rows[3] == {"name": 'd, "e"', "share": "", "n": "0"}


def test_markdown(small_table):
    assert layout.as_markdown(small_table) == (
        "**Shares & more**\n\n"
        "| Name\\|s | η² of_all | n |\n"
        "| --- | ---: | ---: |\n"
        "| a_b | 0.333 | 12 |\n"
        "| 50 % | 0.000 | – |\n"
        "| c | −1.500 | 3 |\n"
        '| d, "e" | – | 0 |\n'
        "\nA note: ρ ≥ 0.\n"
    )


def test_latex(small_table):
    lines = layout.as_latex(small_table).splitlines()
    assert r"\caption{Shares \& more A note: $\rho$ $\geq$ 0.}" in lines
    assert r"\begin{tabular}{lrr}" in lines
    assert r"Name\textbar{}s & $\eta$$^2$ of\_all & n \\" in lines
    assert r"50 \% & 0.000 & -- \\" in lines
    assert r"c & $-$1.500 & 3 \\" in lines
    around = ["table", "centering", "caption", "tabular", "toprule", "Name", "midrule"]
    rows = [r"a\_b", r"50 \%", "c &", "d, "]
    after = ["bottomrule", "tabular", "table"]
    assert len(lines) == len(around) + len(rows) + len(after)
    for line, word in zip(lines, [*around, *rows, *after], strict=True):
        assert word in line
    assert (lines[0], lines[-2], lines[-1]) == (
        r"\begin{table}", r"\end{tabular}", r"\end{table}"
    )  # fmt: skip


def test_latex_of_every_table_is_ascii(tmp_path):
    """What LaTeX's default fonts lack has a replacement in every table that is written."""
    rows, _ = planted_rows(tmp_path)
    summary = {"mean": 0.3, "null": -0.0051, "z": 20.0, "channels": 768}
    for table in (variance.table_3(rows, "main"), coherence.table_4({"a": summary})):
        assert layout.as_latex(table).isascii()


def test_all_views_are_written(tmp_path, small_table):
    paths = {view: tmp_path / f"table.{view}" for view in TABLE_VIEWS}
    layout.write(small_table, paths)
    views = {"csv": layout.as_csv, "md": layout.as_markdown, "tex": layout.as_latex}
    for name, view in views.items():
        assert paths[name].read_text(encoding="utf-8") == view(small_table)
    assert layout.read(paths["json"]) == small_table


def test_json_is_the_table_and_read_gives_it_back(tmp_path, small_table):
    awkward = layout.Table(
        "η² & more",
        (layout.Column("x", "x", digits=1), layout.Column("flag", "flag")),
        [{"x": 0.1 + 0.2, "flag": True, "hidden": 1}, {"x": None, "flag": False, "hidden": 2}],
        ("A note.",),
    )
    layout.write(small_table, {"json": tmp_path / "small.json"})
    assert layout.read(tmp_path / "small.json") == small_table
    layout.write(awkward, {"json": tmp_path / "awkward.json"})
    found = layout.read(tmp_path / "awkward.json")
    assert found.rows == [{"x": 0.1 + 0.2, "flag": True}, {"x": None, "flag": False}]
    assert replace(found, rows=[]) == replace(awkward, rows=[])


def test_a_page_stands_for_the_markdown_view(small_table):
    assert layout.as_markdown(replace(small_table, page="# Mine\n")) == "# Mine\n"


def headline(backbone, value, sae="s", metric="fvu", sweep="main", higher=False):
    return {
        "backbone": backbone,
        "metric": metric,
        "sae": sae,
        "sweep": sweep,
        "reading": "headline",
        "value": value,
        "higher_is_better": higher,
        "expansion_factor": 8,
        "sparsity": 64,
    }


def test_backbone_means_rank_by_merit_and_share_ties():
    rows = [
        headline("a", 0.1),
        headline("a", 0.3, "t"),
        headline("b", 0.5),
        headline("b", None, "t"),
        headline("c", 0.2),
        headline("d", None),
        headline("e", 0.35),
    ]
    lines = {line["backbone"]: line for line in summaries.backbone_means(rows, "main").rows}
    assert lines["a"]["mean"] == pytest.approx(0.2)
    assert lines["a"]["std"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert [lines[b]["rank"] for b in "abcde"] == [1, 4, 1, None, 3]
    assert (lines["b"]["saes"], lines["b"]["missing"], lines["b"]["std"]) == (1, 1, None)
    assert [lines[b]["normalised"] for b in "abcde"] == pytest.approx([1, 0, 1, None, 0.5])
    turned = [row | {"higher_is_better": True} for row in rows]
    lines = {line["backbone"]: line for line in summaries.backbone_means(turned, "main").rows}
    assert [lines[b]["rank"] for b in "abcde"] == [3, 1, 3, None, 2]


def test_backbones_that_are_equal_have_no_profile():
    lines = summaries.backbone_means([headline("a", 0.1), headline("b", 0.1)], "main").rows
    assert [line["normalised"] for line in lines] == [None, None]
    assert [line["rank"] for line in lines] == [1, 1]


def test_layers_are_compared_over_the_configurations_that_both_have():
    rows = [
        headline("a", 0.1, "s", sweep="layer_3"),
        headline("a", 0.2, "t", sweep="layer_3"),
        headline("a", 0.9, "only_early", sweep="layer_3"),
        headline("b", None, "s", sweep="layer_3"),
        headline("a", 0.5, "s"),
        headline("a", 0.7, "t"),
        headline("a", 9.0, "only_late"),
        headline("b", 0.7, "s"),
    ]
    a, b = summaries.layer_comparison(rows, "layer_3", "main").rows
    assert (a["early"], a["late"]) == (pytest.approx(0.15), pytest.approx(0.6))
    assert (a["pairs"], a["missing"]) == (2, 0)
    assert (b["early"], b["late"], b["pairs"], b["missing"]) == (None, None, 0, 1)


def test_paired_scores_join_by_sae():
    rows = [
        headline("a", 0.1, "s"),
        headline("a", 0.2, "t"),
        headline("a", 0.9, "t", metric="preservation"),
        headline("b", 0.8, "s", metric="preservation"),
    ]
    lines = summaries.paired_scores(rows, "main", "fvu", "preservation")
    assert [(r["sae"], r["fvu"], r["preservation"]) for r in lines] == [
        ("s", 0.1, None),
        ("t", 0.2, 0.9),
    ]


def test_metric_agreement_is_over_the_means_of_saes_with_both():
    rows = [
        headline(backbone, value, sae, metric)
        for backbone, pairs in (("a", ((1, 5), (3, None))), ("b", ((2, 4),)), ("c", ((4, 1),)))
        for sae, values in zip("st", pairs, strict=False)
        for metric, value in zip(("fvu", "preservation"), values, strict=True)
    ]
    (line,) = agreement.metric_agreement(rows, "main").rows
    # The second SAE of a has no preservation: its FVU of 3, above that of b, does not count.
    assert (line["first"], line["second"]) == ("fvu", "preservation")
    assert (line["rho"], line["n"], line["saes"], line["missing"]) == (-1, 3, 3, 1)


# ---------------------------------------------------------------- what is not computed


def test_metrics_that_are_not_computed_are_null_with_the_reason(tmp_path):
    sae = described("clip", 11, "batchtopk_16x_k128", "main")
    reasons = {"preservation": "needs labels: data set own has none", "absorption": "another"}
    rows = tidy.absent_rows([sae], null_results(reasons))
    assert {row["metric"]: row["reason"] for row in rows} == reasons
    assert {row["value"] for row in rows} == {None}
    assert [row["higher_is_better"] for row in rows] == [True, False]
    assert not any("{" in row["definition"] for row in rows)
    # All that is written of an eval comes with its reason, which the job's parameters hash.
    planted = {"fvu": null_results({"fvu": "why"})["fvu"] | {"definition": "planted"}}
    assert [row["definition"] for row in tidy.absent_rows([sae], planted)] == ["planted"]
    layout.write(tidy.scores_table(rows), {"csv": tmp_path / "scores.csv"})
    assert scores.read_scores(tmp_path / "scores.csv") == rows
    reason = {row["metric"]: row["reason"] for row in variance.table_3(rows, "main").rows}
    assert reason == reasons


def test_a_reason_of_some_is_not_that_of_all():
    some = [{"reason": "one"}, {"reason": None}]
    assert scores.unscored(some) is None
    assert scores.unscored(some[:1] * 2) == "one"
    assert scores.unscored([{"reason": "one"}, {"reason": "other"}]) is None


def test_a_row_that_lacks_a_column_is_told_where_the_table_is_made():
    columns = layout.Column("a", "A"), layout.Column("b", "B")
    assert layout.Table("T", columns, [{"a": 1, "b": None, "more": 2}]).rows[0]["b"] is None
    with pytest.raises(ValueError, match="T: a row lacks b"):
        layout.Table("T", columns, [{"a": 1, "b": 2}, {"a": 1}])
