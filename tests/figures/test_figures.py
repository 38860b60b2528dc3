"""Figures: they show what was given, no label covers another, equal inputs give equal files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from figure_fixtures import LABELS, STYLES, assert_fits_and_counts, assert_labels_are_apart, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from visae.evals.shelf import metrics, titles
from visae.figures import style
from visae.products.figure_1a import make as figure_1a
from visae.products.figure_1b import make as figure_1b
from visae.products.figure_2a import make as figure_2a
from visae.products.figure_3 import make as figure_3
from visae.products.figure_4 import make as figure_4
from visae.products.figure_6 import make as figure_6
from visae.products.training_curves import make as training_curves
from visae.tables import agreement, summaries, variance
from visae.tables.scores import headlines

PAPER = list(LABELS)


def headline_rows(backbones=PAPER, expansions=(8, 16, 32), targets=(64, 128), sweep="main",
                  missing=()):  # fmt: skip
    rng = np.random.default_rng(4)
    return [
        {
            "metric": metric,
            "backbone": backbone,
            "layer": 11,
            "sae": f"batchtopk_{expansion}x_k{k}",
            "sweep": sweep,
            "family": "batchtopk",
            "expansion_factor": expansion,
            "sparsity": k,
            "reading": "headline",
            "value": None if (metric, backbone) in missing else float(rng.uniform(0.2, 0.9)),
            "reason": None,
            "definition": "mean one-vs-rest ROC-AUC at k = 128",
            "higher_is_better": metric not in ("fvu", "absorption"),
        }
        for metric in metrics()
        for backbone in backbones
        for expansion in expansions
        for k in targets
    ]


def training_runs(backbones=PAPER, expansions=(8, 16), targets=(4, 8)):
    return [
        {
            "backbone": backbone,
            "expansion_factor": expansion,
            "sparsity": k,
            "records": [
                {"step": step, "tokens": 1000 * step, "loss": 1 / step + 0.01 * k, "l0": float(k),
                 "dead_fraction": 0.1 * step / expansion}
                for step in range(1, 6)
            ],
        }
        for backbone in backbones
        for expansion in expansions
        for k in targets
    ]  # fmt: skip


def coherence(backbones=PAPER, features=400, empty=()):
    rng = np.random.default_rng(2)
    return {
        backbone: [
            np.full(features, np.nan) if backbone in empty else rng.normal(0.1, 0.1, features)
            for _ in range(2)
        ]
        for backbone in backbones
    }


def nulls(backbones=PAPER):
    return {backbone: -1 / 195 for backbone in backbones}


def agree(pairs):
    return agreement.agreement(pairs, "fvu", "preservation")


PUBLISHED = {"localization": 0.996, "fvu": 0.392, "cross_domain": 0.311}
SIX = [*PAPER, "convnext"]
GAPS = [("fvu", "mae"), ("sparse_probing", "clip"), ("localization", "deit")] + [
    ("absorption", backbone) for backbone in SIX
]


def all_figures(hard):
    """Every figure by name; `hard`: six backbones, one configuration or two, many gaps."""
    if hard:
        backbones, styles = SIX, style.backbone_styles(LABELS | {"convnext": "ConvNeXt"})
        rows = headline_rows(SIX, (8,), (4, 8), missing=GAPS)
        layers = headline_rows(["deit", "clip"], (8,), (4,), "layer_3", GAPS)
        values, runs = coherence(SIX, 30, empty=("mae",)), training_runs(SIX, (8,), (4,))
        published = {}
    else:
        backbones, styles, rows = PAPER, STYLES, headline_rows()
        layers = headline_rows(PAPER[:3], sweep="layer_3")
        values, runs, published = coherence(), training_runs(), PUBLISHED
    pairs = summaries.paired_scores(rows, "main", "fvu", "preservation")
    compared = summaries.layer_comparison(rows + layers, "layer_3", "main").rows
    means = summaries.backbone_means(rows, "main").rows
    probing = headlines(rows, "sparse_probing", "main")
    return {
        "figure_1a": figure_1a.draw(means, titles(metrics()), styles),
        "figure_1b": figure_1b.draw(values, nulls(backbones), styles),
        "figure_2a": figure_2a.draw(pairs, agree(pairs), styles),
        "figure_3": figure_3.draw(
            variance.table_3(rows, "main").rows, titles(metrics()), published
        ),
        "figure_4": figure_4.draw(compared, titles(metrics()), (3, 11), styles),
        "figure_6": figure_6.draw(probing, styles),
        "training_curves": training_curves.draw(runs, styles),
    }


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "hard"])
def figures(request):
    return all_figures(request.param)


def test_no_label_covers_another_or_leaves_the_page(figures):
    for name, figure in figures.items():
        assert_labels_are_apart(name, figure)


def test_every_figure_fits_a_page_and_tells_how_many(figures):
    for name, figure in figures.items():
        assert_fits_and_counts(name, figure)


_SAVE_TWO = """
import sys
from pathlib import Path
import visae.audit.examples, visae.products.figure_5.make
from figures.test_figures import *
rows = variance.table_3(headline_rows(), "main").rows
figures = {
    "figure_1b": figure_1b.draw(coherence(), nulls(), STYLES),
    "figure_3": figure_3.draw(rows, titles(metrics()), PUBLISHED),
}
for name, figure in figures.items():
    style.write(figure, {v: Path(sys.argv[1], name + "." + v) for v in ("pdf", "png")})
assert "torch" not in sys.modules and "matplotlib.pyplot" not in sys.modules
"""


def test_equal_inputs_give_equal_files_and_no_torch(tmp_path):
    """Two processes with different hash seeds, and a clock that has moved on."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "workflow_scripts"), str(root / "tests")])
    contents = []
    for seed in ("1", "2"):
        environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
        environment |= {"PYTHONPATH": path, "PYTHONHASHSEED": seed}
        folder = tmp_path / seed
        subprocess.run([sys.executable, "-c", _SAVE_TWO, folder], check=True, env=environment)
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert len(contents[0]) == 6  # two figures in two views, and the seals of those that are read
    drawn = [{n: c for n, c in files.items() if not n.endswith(".seal")} for files in contents]
    assert drawn[0] == drawn[1]
    for name, content in drawn[0].items():
        assert content.startswith(b"%PDF" if name.endswith("pdf") else b"\x89PNG")
        assert b"CreationDate" not in content


def test_a_figure_can_be_saved_twice(tmp_path):
    figure = figure_6.draw(headlines(headline_rows(), "sparse_probing", "main"), STYLES)
    for name in "ab":
        style.write(figure, {v: tmp_path / f"{name}.{v}" for v in ("pdf", "png")})
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "label", ["MAE", "vit_tiny_patch16_224", "vit_base_patch14_reg4_dinov2.lvd142m"]
)
def test_a_page_grows_by_what_labels_of_ones_own_need(label, tmp_path):
    """`visae new` calls backbones as their models. White all around: nothing is cut."""
    styles = style.backbone_styles(dict.fromkeys(PAPER, label))
    pairs = summaries.paired_scores(headline_rows(), "main", "fvu", "preservation")
    drawn = {
        "figure_1b": figure_1b.draw(coherence(), nulls(), styles),
        "figure_2a": figure_2a.draw(pairs, agree(pairs), styles),
    }
    for name, figure in drawn.items():
        style.write(figure, {v: tmp_path / f"{name}.{v}" for v in ("pdf", "png")})
        with Image.open(tmp_path / f"{name}.png") as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels[i].min() for i in (0, -1)) == 255
        assert min(pixels[:, i].min() for i in (0, -1)) == 255
        assert (pixels.shape[1] > 300 * figure.get_figwidth() + 1) == (label != "MAE")


def test_the_papers_backbones_keep_their_colours():
    turned = {"new": "New", **dict(reversed(LABELS.items()))}
    assert style.backbone_styles(turned)["dinov2"] == STYLES["dinov2"]
    assert len({look.color for look in STYLES.values()}) == 5
    assert len({look.marker for look in STYLES.values()}) == 5
    assert STYLES["mae"].label == "MAE"


def test_any_number_of_backbones_has_a_style():
    names = [*PAPER, *(f"b{i}" for i in range(40))]
    styles = style.backbone_styles({name: name.upper() for name in names})
    assert list(styles) == names
    assert len({(look.color, look.marker) for look in styles.values()}) == len(names)
    assert len({look.color for look in list(styles.values())[:12]}) == 12


@pytest.mark.parametrize(
    "look", style.backbone_styles(dict.fromkeys([*PAPER, *"abcdefg"])).values()
)
def test_text_in_every_colour_can_be_read_on_white(look):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(look.color)
    ]
    luminance = np.dot([0.2126, 0.7152, 0.0722], linear)
    assert 1.05 / (luminance + 0.05) >= 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=8), st.floats(0.01, 0.3))
def test_spread_keeps_order_distance_and_limits(positions, gap):
    moved = style.spread(positions, gap, 0.0, 1.0)
    fits = min(gap, 1 / max(len(positions) - 1, 1))
    assert min(moved) >= -1e-9
    assert max(moved) <= 1 + 1e-9
    assert (np.diff(sorted(moved)) >= fits - 1e-9).all()
    order = np.argsort(positions, kind="stable")
    assert (np.diff(np.array(moved)[order]) >= 0).all()


def test_spread_leaves_alone_what_is_apart():
    assert style.spread([0.9, 0.1, 0.5], 0.2, 0, 1) == pytest.approx([0.9, 0.1, 0.5])
    assert style.spread([0.5, 0.5], 0.2, 0, 1) == pytest.approx([0.4, 0.6])


def test_figure_1b_shows_median_quartiles_count_and_absence():
    values = coherence(empty=("mae",))
    values["clip"][0][:100] = np.nan
    figure = figure_1b.draw(values, nulls(), STYLES)
    known = np.concatenate(values["clip"])
    known = known[~np.isnan(known)]
    quartiles = np.percentile(known, [25, 50, 75])
    words = " ".join(texts(figure))
    assert "n = 700 (2 SAEs)" in words
    assert f"median {quartiles[1]:.3f}" in words
    assert "no evaluable\nfeature" in words
    drawn = [line.get_xdata() for line in figure.axes[0].lines]
    assert any(np.array_equal(x, quartiles[[0, 2]]) for x in drawn if len(x) == 2)


def test_figure_1b_counts_every_feature_in_its_ridge():
    values = {"clip": [np.array([-5.0, *np.linspace(0, 1, 99), 9.0] * 50)]}
    figure = figure_1b.draw(values, {"clip": -0.1}, style.backbone_styles({"clip": "CLIP"}))
    (filled, _) = figure.axes[0].patches
    heights, edges, base = filled.get_data()
    counts = heights - base
    low, high = edges[0], edges[-1]
    clipped = np.clip(values["clip"][0], low, high)
    expected, _ = np.histogram(clipped, edges)
    np.testing.assert_allclose(counts / counts.sum(), expected / expected.sum())


def test_figure_3_draws_the_shares_and_the_published_value():
    rows = variance.table_3(headline_rows(missing=[("absorption", b) for b in PAPER]), "main").rows
    figure = figure_3.draw(rows, titles(metrics()), PUBLISHED)
    axes = figure.axes[0]
    widths = [patch.get_width() for patch in axes.patches]
    shares = [
        row[f"eta2_{part}"]
        for row in rows
        if row["eta2_backbone"] is not None
        for part in ("backbone", "configuration", "residual")
    ]
    assert widths == pytest.approx(shares)
    marks = {float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "v"}
    assert marks == set(PUBLISHED.values())
    assert any("not computable: needs values" in text for text in texts(figure))
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [titles(metrics())[row["metric"]] for row in rows]


def test_training_curves_hold_every_record():
    runs = training_runs()
    del runs[0]["records"][2]["loss"]
    figure = training_curves.draw(runs, STYLES)
    loss = np.array([line.get_ydata() for axes in figure.axes[:5] for line in axes.lines])
    assert loss.shape == (20, 5)
    assert np.isnan(loss).sum() == 1
    dead = figure.axes[10].lines[0].get_ydata()
    np.testing.assert_allclose(dead, [100 * r["dead_fraction"] for r in runs[0]["records"]])
    np.testing.assert_allclose(figure.axes[10].lines[0].get_xdata(), [1, 2, 3, 4, 5])
    assert figure.axes[12].get_xlabel() == "patch tokens (thousand)"


def test_figure_2a_states_the_rank_correlation_of_the_means():
    rows = [
        {"backbone": backbone, "sae": "s", "expansion_factor": 8, "sparsity": 64, "fvu": fvu,
         "preservation": kept}
        for backbone, fvu, kept in zip(PAPER, (1, 2, 3, 4, 5), (5, 4, 3, 1, 2), strict=True)
    ]  # fmt: skip
    words = " ".join(texts(figure_2a.draw(rows, agree(rows), STYLES)))
    assert "n = 5 SAEs; over 5 backbone means" in words
    assert "ρ = −0.90, p = 0.037 (exact 0.083)" in words
    rows[0]["fvu"] = None
    words = " ".join(texts(figure_2a.draw(rows, agree(rows), STYLES)))
    assert "n = 4 SAEs (1 missing)" in words
    nobody = [{**row, "preservation": None} for row in rows]
    assert "not computable" in " ".join(texts(figure_2a.draw(nobody, agree(nobody), STYLES)))


def test_saes_of_one_configuration_are_one_point_their_mean():
    rows = headlines(headline_rows(["clip"], [1.5]), "sparse_probing", "main")
    twins = [{**row, "sae": f"{row['sae']}_b", "value": row["value"] + 0.2} for row in rows]
    figure = figure_6.draw(rows + twins, STYLES)
    points = figure.axes[0].lines[0].get_ydata()
    assert points == pytest.approx([row["value"] + 0.1 for row in rows])
    assert {"n = 4", "expansion 1.5×"} <= set(texts(figure))


def test_gaps_are_drawn_as_gaps_and_counted():
    rows = headline_rows(missing=[("sparse_probing", "clip")])
    figure = figure_6.draw(headlines(rows, "sparse_probing", "main"), STYLES)
    assert len(figure.axes[0].lines) == 4
    assert "n = 8, 2 missing" in texts(figure)
    means = summaries.backbone_means(rows, "main").rows
    figure = figure_1a.draw(means, titles(metrics()), STYLES)
    clip = figure.axes[0].lines[len(metrics()) + 1].get_ydata()
    assert np.flatnonzero(np.isnan(clip)).tolist() == [3]
    assert any("6 scores missing" in text for text in texts(figure))
