"""Figures 2b, 5, 7, 8, M5 by evaluator and the token-order control: what they show, and fit."""

import itertools

import numpy as np
import pytest
from figure_fixtures import STYLES, assert_fits_and_counts, assert_labels_are_apart, texts
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from visae.audit.choice import KINDS
from visae.base import equal
from visae.evals.shelf import metrics, titles
from visae.figures import style
from visae.products.evaluators_figure import make as evaluators
from visae.products.figure_2b import make as figure_2b
from visae.products.figure_5 import make as figure_5
from visae.products.figure_7 import make as figure_7
from visae.products.figure_8 import make as figure_8
from visae.products.token_order_figure import make as token_order
from visae.tables.correlations import correlation_table
from visae.tables.foresight import backbone_selection, turned
from visae.tables.token_order import token_order_table

BACKBONES = list(STYLES)
TASKS = {"retrieval": "Retrieval", "cub200": "CUB-200", "dtd": "DTD",
         "inaturalist": "iNaturalist", "segmentation": "Segmentation"}  # fmt: skip
HYPOTHESES = {("localization", "segmentation"): "H1", ("preservation", "retrieval"): "H3"}
AUDITED = "batchtopk_16x_k192", "imagenet/val"
LONG = style.backbone_styles({name: f"{look.label} ViT-B/16" for name, look in STYLES.items()})


def scores(seed, missing=()):
    rng = np.random.default_rng(seed)
    return {b: None if b in missing else float(rng.uniform()) for b in BACKBONES}


def metric_ranks(without=()):
    rng = np.random.default_rng(8)
    return {
        metric: {
            b: None if metric in without else int(rank)
            for b, rank in zip(BACKBONES, rng.permutation(5) + 1, strict=True)
        }
        for metric in metrics()
    }


def examples(missing=()):
    rng = np.random.default_rng(1)
    found = []
    for backbone in BACKBONES:
        for kind in KINDS:
            if (backbone, kind) not in missing:
                maps = rng.uniform(size=(4, 8, 8)) * (rng.uniform(size=(4, 8, 8)) > 0.7)
                images = rng.integers(0, 255, (4, 24, 24, 3)).astype(np.uint8)
                found.append({"backbone": backbone, "kind": kind, "feature": 12345,
                              "moran": -0.0042, "images": images, "maps": maps})  # fmt: skip
    return found


def arms(hard):
    measured = {"grid": (14, 14), "mean": 0.2, "iqr": 0.05, "raw_mean": 0.3, "raw_z": 150.0,
                "images": 2500}  # fmt: skip
    rows = [
        {**measured, "arm": "MAE, raster", "backbone": "mae", "token_order": "raster"},
        {**measured, "arm": "MAE, permuted", "backbone": "mae", "token_order": "permuted",
         "mean": -0.005, "iqr": 0.0009, "raw_mean": -0.0051, "raw_z": -1.0},
        {**measured, "arm": "MAE, published", "backbone": "mae", "token_order": "published",
         "mean": -0.005, "iqr": 0.0008, "raw_mean": -0.0052, "raw_z": -6.17, "images": None},
    ]  # fmt: skip
    if hard:
        nothing = dict.fromkeys(("mean", "iqr", "raw_mean", "raw_z", "images"))
        rows.append({**rows[1], **nothing, "arm": "CLIP, permuted", "backbone": "clip"})
    return token_order_table(rows).rows


def m5_rows(spaces, missing=()):
    rng = np.random.default_rng(3)
    return [
        {"backbone": b, "evaluator": s, "mean": None if b in missing else float(rng.uniform()),
         "saes": 12, "paired": s == spaces[(BACKBONES.index(b) + 1) % len(spaces)]}
        for b in BACKBONES
        for s in spaces
    ]  # fmt: skip


def all_figures(hard):
    if hard:
        tasks = {t: scores(i, ("mae",)) for i, t in enumerate(("cub200", "dtd"))}
        tasks["segmentation"] = dict.fromkeys(BACKBONES)
        ranks, styles = metric_ranks(without=("absorption",)), LONG
    else:
        tasks = {t: scores(i) for i, t in enumerate(TASKS)}
        ranks, styles = metric_ranks(), STYLES
    names = {task: TASKS[task] for task in tasks}
    cells = turned(correlation_table(ranks, tasks).rows)
    selection = backbone_selection(cells, tasks, {} if hard else tasks).rows
    spaces = BACKBONES if hard else ["dinov2", "clip"]
    return {
        "figure_2b": figure_2b.draw(cells, titles(metrics()), names, HYPOTHESES),
        "figure_5": figure_5.draw(examples([("mae", KINDS[1])] if hard else ()), styles, *AUDITED),
        "figure_7": figure_7.draw(cells, titles(metrics()), names),
        "figure_8": figure_8.draw(selection, titles(metrics()), names, styles),
        "evaluators": evaluators.draw(m5_rows(spaces, ("mae",) if hard else ()), styles),
        "token_order": token_order.draw(arms(hard), styles),
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


def test_equal_inputs_give_equal_files(tmp_path):
    """The two that differ most from the figures that test_figures saves: images and cells."""
    for turn in "ab":
        cells = figure_2b.draw(cell_table(0.5), titles(metrics()), {"dtd": "DTD"}, {})
        for name, figure in (("5", figure_5.draw(examples(), STYLES, *AUDITED)), ("2b", cells)):
            style.write(figure, {v: tmp_path / turn / f"{name}.{v}" for v in ("pdf", "png")})
    paths = [path for path in (tmp_path / "a").iterdir() if path.suffix != ".seal"]
    assert len(paths) == 4
    for path in paths:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def cell_table(rho, p=0.083):
    return [
        {"metric": "localization", "task": "dtd", "rho": rho, "p_exact": p, "n": 5},
        {"metric": "localization", "task": "segmentation", "rho": None, "p_exact": None,
         "n": 2},
    ]  # fmt: skip


def test_figure_2b_shows_rho_exact_p_and_frames_hypotheses():
    tasks = {"dtd": "DTD", "segmentation": "Segmentation"}
    figure = figure_2b.draw(cell_table(-0.9), titles(metrics()), tasks, HYPOTHESES)
    words = texts(figure)
    assert {"−0.90", "p 0.083", "–"} <= set(words)
    frames = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and not p.get_fill()]
    assert [(p.get_x(), p.get_y()) for p in frames] == [(0.5, -0.5)]
    assert any("n = 2–5 backbones" in text and "H1" in text for text in words)


def test_figure_7_draws_each_rho_and_marks_the_highest():
    rows = [
        {"metric": metric, "task": "dtd", "rho": rho, "p_exact": p, "n": 5}
        for metric, rho, p in (("fvu", -0.3, 0.6), ("preservation", 1.0, 0.017),
                               ("absorption", None, None))
    ]  # fmt: skip
    figure = figure_7.draw(rows, titles(metrics()), {"dtd": "DTD"})
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([-0.3, 1.0])
    weights = {t.get_text(): t.get_fontweight() for t in figure.findobj(Text) if t.get_text()}
    assert (weights["1.00"], weights["−0.30"]) == ("bold", "normal")
    faint, full = (bar.get_facecolor()[:3] for bar in figure.axes[0].patches)
    assert sum(full) < sum(faint)


def test_figure_8_says_what_the_run_found_and_what_it_lacks():
    rows = [
        {"task": "dtd", "best_raw": "siglip", "raw": 0.836, "best_codes": "dinov2",
         "codes": 0.85, "metric": "sparse_probing", "rho": 1.0, "p_exact": 1 / 60,
         "n": 5},
        {"task": "segmentation", "best_raw": None, "raw": None, "best_codes": None,
         "codes": None, "metric": None, "rho": None, "p_exact": None, "n": None},
    ]  # fmt: skip
    words = texts(figure_8.draw(rows, titles(metrics()), TASKS, STYLES))
    assert "raw: SigLIP (0.836)\ncodes: DINOv2 (0.850)" in words
    assert "M4 Sparse probing\nρ = 1.00, p = 0.017" in words
    assert "not computed\nin this run" in words


@pytest.mark.parametrize("styles", [STYLES, LONG], ids=["short", "long"])
@pytest.mark.parametrize("tied", [1, 2, 5])
def test_figure_8_holds_tied_names_in_their_boxes(tied, styles):
    best, foreseen = equal.named(BACKBONES[:tied]), equal.named(metrics()[:tied])
    rows = [
        {"task": "dtd", "best_raw": best, "raw": 1.0, "best_codes": best, "codes": 1.0,
         "metric": foreseen, "rho": 1.0, "p_exact": 1 / 60, "n": 5},
    ]  # fmt: skip
    rows.append(rows[0] | {"task": "cub200", "best_raw": BACKBONES[0]})
    figure = figure_8.draw(rows, titles(metrics()), TASKS, styles)
    figure.draw_without_rendering()
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches]
    assert len(boxes) == 6
    *texts, _note = figure.axes[0].texts
    inside = [text.get_window_extent() for text in texts if " = " in text.get_text()]
    assert len(inside) >= 2
    for words in inside:
        assert any(box.y0 < words.y0 and words.y1 < box.y1 for box in boxes)
    assert all(a.y1 <= b.y0 or b.y1 <= a.y0 or a.x1 <= b.x0 or b.x1 <= a.x0
               for a, b in itertools.combinations(boxes, 2))  # fmt: skip


def test_overlays_tint_patches_by_their_code():
    image = np.full((10, 10, 3), 200, dtype=np.uint8)
    map_hw = np.zeros((3, 3))
    map_hw[0, 2], map_hw[1, 1] = 2.0, 1.0
    shown = figure_5.overlaid(image, map_hw)
    quiet = shown[9, 9]
    assert quiet[0] == quiet[1] == quiet[2]
    np.testing.assert_allclose(shown[0, 0], quiet)
    # Stronger codes are tinted more: less blue in orange.
    assert shown[0, 9, 2] < shown[4, 4, 2] < quiet[2]
    # Patches end where the grid's lines fall, also when 3 does not divide 10.
    assert [bool(np.allclose(shown[0, c], shown[0, 9])) for c in (5, 6, 7)] == [False, False, True]
    # Like Moran's I, it tells no difference between a map and the same shifted and scaled.
    np.testing.assert_allclose(figure_5.overlaid(image, 3 * map_hw + 1), shown)
    silent = figure_5.overlaid(image, np.full((3, 3), 0.5))
    np.testing.assert_allclose(silent, np.broadcast_to(quiet, silent.shape))


def test_figure_5_shows_every_image_of_every_feature_beside_its_codes():
    figure = figure_5.draw(examples([("mae", KINDS[1])]), STYLES, *AUDITED)
    assert sum(len(axes.images) for axes in figure.axes) == 9
    words = texts(figure)
    assert words.count("none evaluable") == 1
    assert words.count("feature 12345\nI = −0.004") == 9
    assert any("batchtopk_16x_k192" in text and "n = 4 images of imagenet/val" in text
               for text in words)  # fmt: skip
    example = examples()[0]
    example = {**example, "images": example["images"][:3], "maps": example["maps"][:3]}
    whole = figure_5.mosaic(example)
    assert whole.shape == (3 * 25 - 1, 49, 3)
    for number, (image, map_hw) in enumerate(zip(example["images"], example["maps"], strict=True)):
        row = whole[25 * number : 25 * number + 24]
        np.testing.assert_array_equal(row[:, :24], image / 255)
        np.testing.assert_array_equal(row[:, 25:], figure_5.overlaid(image, map_hw))
    assert (whole[24] == 1).all()
    assert (whole[:, 24] == 1).all()


@pytest.mark.parametrize("number", [1, 2, 7])
def test_figure_5_fits_any_number_of_backbones(number):
    names = [*BACKBONES, "sixth", "seventh"][:number]
    styles = style.backbone_styles({name: f"{name.title()} ViT-B" for name in names})
    found = [example | {"backbone": name} for name in names for example in examples()[:2]]
    figure = figure_5.draw(found, styles, *AUDITED)
    assert_labels_are_apart(number, figure)
    assert_fits_and_counts(number, figure)
    assert sum(len(axes.images) for axes in figure.axes) == 2 * number


def test_figure_5_can_be_drawn_without_any_feature():
    figure = figure_5.draw([], STYLES, *AUDITED)
    assert_labels_are_apart("figure_5", figure)
    assert_fits_and_counts("figure_5", figure)
    (words,) = texts(figure)
    assert "no feature is evaluable for M1" in words
    assert "minimum_images" in words


def test_figure_5_names_its_rows_above_each_other_with_one_image_each():
    one = [e | {"images": e["images"][:1], "maps": e["maps"][:1]} for e in examples()[:1]]
    figure = figure_5.draw(one, STYLES, *AUDITED)
    figure.draw_without_rendering()
    first, second = (
        axes.yaxis.label.get_window_extent()
        for axes in figure.axes
        if axes.get_ylabel().endswith("feature")
    )
    assert first.y0 >= second.y1


def test_own_space_is_in_brackets_and_table_5_is_framed():
    rows = m5_rows(["dinov2", "clip"])
    figure = evaluators.draw(rows, STYLES)
    words = texts(figure)
    assert sum(word.startswith("(") and word.endswith(")") for word in words) == 2
    frames = [p for p in figure.axes[0].patches if not p.get_fill()]
    expected = sum(r["paired"] and r["backbone"] != r["evaluator"] for r in rows)
    assert len(frames) == expected


def test_the_control_draws_each_arm_beside_what_chance_predicts():
    rows = arms(False)
    figure = token_order.draw(rows, STYLES)
    for axes, quantity in zip(figure.axes, ("mean", "iqr", "raw_mean", "raw_z"), strict=True):
        points = [line for line in axes.lines if line.get_marker() in ("v", "x")]
        assert [line.get_xdata()[0] for line in points] == [row[quantity] for row in rows]
    dashes = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linewidth() == 1.6]
    assert dashes == pytest.approx(3 * [-1 / 195])
    filled = [line.get_markerfacecolor() for line in figure.axes[0].lines
              if line.get_marker() == "v"]  # fmt: skip
    assert filled == [STYLES["mae"].color, "white"]
