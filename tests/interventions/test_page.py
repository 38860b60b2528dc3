"""The page in Chromium, opened as a file: sliders move through what was computed."""

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest
from browser_fixtures import chromium, phone
from intervention_fixtures import CLASSES, GRID, SETTINGS, colour_backbone, colour_sae, painted
from PIL import Image

from visae.audit.cards import read_card
from visae.backbones.continuing import Continuation
from visae.base.errors import UserError
from visae.base.paths import INTERVENTION_FILES
from visae.evals.segmentation.heads import HeadSettings
from visae.interventions.editing import edit_sae
from visae.interventions.outcomes import read_outcomes
from visae.interventions.pages import COLOURS, card_of, overlaid
from visae.interventions.settings import CARD_FORMAT
from visae.interventions.tasks import classification_task, segmentation_task

HEAD = HeadSettings(epochs=30, batch=32, learning_rate=0.3, weight_decay=0)
STRENGTHS = [-1, 1, 2]


def write(folder, layer=0, masks=True, **changes):
    """The files of the planted SAE below `folder`: {name: path}."""
    backbone, settings = colour_backbone(), SETTINGS | {"strengths": STRENGTHS} | changes
    train, test = (painted(folder / "images", 8, seed) for seed in (0, 1))
    images = classification_task(
        "colours", train, test, (folder / "images",) * 2, backbone.transform, settings
    )
    tasks = [(images, folder / "images")]
    if masks:
        train, test = (painted(folder / "masks", 8, seed, masks=True) for seed in (2, 3))
        patches = segmentation_task(
            "masks", train, test, folder / "masks", backbone.transform, GRID, settings
        )
        tasks.append((patches, folder / "masks"))
    about = {"study": "toy", "place": "colours/layer0", "sae": "s", "backbone": "colours",
             "label": "Colours <b>", "layer": layer, "report": "../r.html",
             "pages": None}  # fmt: skip
    paths = {name: folder / "page" / name for name in (*INTERVENTION_FILES, "images")}
    edit_sae(
        Continuation(backbone, layer), colour_sae(), tasks, settings, HEAD, [], about, paths, 3,
        "cpu", [],
    )  # fmt: skip
    return paths


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write(tmp_path_factory.mktemp("edits"))


@pytest.fixture(scope="module")
def sections(paths):
    text = paths["edits.js"].read_text("utf-8")
    return json.loads(text.partition(" = ")[2].removesuffix(";\n"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def _open(browser, paths):
    browser.get("about:blank")
    browser.get(paths["index.html"].as_uri())


def _set(browser, selector, value):
    browser.execute_script(
        "const found = document.querySelector(arguments[0]); found.value = arguments[1];"
        "found.dispatchEvent(new Event('input')); found.dispatchEvent(new Event('change'))",
        *(selector, str(value)),
    )


def _texts(browser, selector):
    return [found.text for found in browser.find_elements("css selector", selector)]


def test_the_page_holds_what_was_measured(paths, sections):
    tasks = read_outcomes(paths["outcomes.json"])["tasks"]
    assert [(part["dataset"], part["head"]) for part in sections] == [
        ("colours", "class token"), ("colours", "pooled patches"), ("masks", "single patches"),
    ]  # fmt: skip
    for part, task in zip(sections, tasks, strict=True):
        assert part["strengths"] == [-1, 0, 1, 2]
        for feature in part["features"]:
            own = [
                row for row in task["rows"]
                if row["edit"] == "random_direction" and row["feature"] == feature["feature"]
                and row["strength"] == 2
            ]  # fmt: skip
            expected = sum(r["target_changed"] for r in own) / sum(r["target"] for r in own)
            assert feature["shares"]["random_direction"][3][0] == pytest.approx(expected, abs=1e-4)
            assert feature["shares"]["feature"][1] == [0, 0], "no edit changes nothing"
            for picture in feature["pictures"]:
                image = paths["images"] / f"{picture['image']}.webp"
                assert min(Image.open(image).size) >= 160


def test_predictions_on_pictures_are_those_of_the_edit(sections):
    """Without an edit patches have their class; taken out twice, they have another."""
    part = sections[2]
    for feature in part["features"]:
        for picture in feature["pictures"]:
            truth = np.frombuffer(base64.b64decode(picture["truth"]), np.uint8)
            plain, gone = (
                np.frombuffer(base64.b64decode(picture["answers"]["feature"][step]), np.uint8)
                for step in (1, 3)
            )
            inside, known = truth == feature["class"], truth != 255
            assert inside.any()
            assert (plain == truth)[known].mean() > 0.9
            assert (gone != plain)[inside].mean() > 0.9
            assert (gone == plain)[known & ~inside].all()


def test_a_slider_moves_the_bars_of_its_feature(browser, paths, sections):
    _open(browser, paths)
    cards = browser.find_elements("css selector", ".edited")
    assert [card.find_element("css selector", "h2").text for card in cards] == list(CLASSES)
    feature = sections[0]["features"][0]
    for step in (3, 1):
        _set(browser, ".edited .slide input", step)
        now = feature["pictures"][0]["answers"]["feature"][step][0]
        assert _texts(browser, ".edited .answer.own .number")[0] == f"{round(100 * now)} %"
        share = feature["shares"]["feature"][step][0]
        assert _texts(browser, ".edited .shares .chosen td")[0] == f"{round(100 * share)} %"
    assert "no edit" in _texts(browser, ".edited .slide output")[0]
    assert "no edit" not in _texts(browser, ".edited .slide output")[1], "others stay"


def test_all_strengths_and_another_direction(browser, paths, sections):
    _open(browser, paths)
    _set(browser, "#edit", "random_direction")
    _set(browser, "#all", 2)
    assert all("taken out" in text for text in _texts(browser, ".edited .slide output"))
    for card, feature in zip(
        browser.find_elements("css selector", ".edited"), sections[0]["features"], strict=True
    ):
        share = feature["shares"]["random_direction"][2][0]
        shown = card.find_element("css selector", ".shares .chosen td").text
        assert shown == f"{round(100 * share)} %"


def test_changed_patches_are_drawn(browser, paths, sections):
    _open(browser, paths)
    _set(browser, "#section", 2)
    _set(browser, "#all", 3)
    picture = sections[2]["features"][0]["pictures"][0]
    colours = browser.execute_script(
        "const c = document.querySelectorAll('.pair canvas')[1];"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return [...Array(ROWS * COLUMNS).keys()].map((p) => { const at = 4 * ("
        "(Math.floor(p / COLUMNS) + .5) * CELL * c.width + (p % COLUMNS + .5) * CELL);"
        "return [d[at], d[at + 1], d[at + 2]]; })"
    )
    labels = np.frombuffer(base64.b64decode(picture["answers"]["feature"][3]), np.uint8)
    expected = [[int(COLOURS[label][i : i + 2], 16) for i in (1, 3, 5)] for label in labels]
    np.testing.assert_allclose(colours, expected, atol=2)


@pytest.mark.parametrize("section", [0, 2])
def test_pictures_have_their_shape_before_they_are_loaded(section, browser, paths):
    _open(browser, paths)
    _set(browser, "#section", section)
    shapes = browser.execute_script(
        "return [...document.querySelectorAll('.picture img')].map("
        "(i) => getComputedStyle(i).aspectRatio)"
    )
    assert set(shapes) == {"1 / 1"}


@pytest.mark.parametrize("section", [0, 2])
def test_the_page_fits_a_phone(section, browser, paths):
    with phone(browser):
        _open(browser, paths)
        _set(browser, "#section", section)


# ---------------------------------------------------------------- without a browser


def test_the_card_shows_before_and_after(paths, sections):
    card, picture = read_card(paths["card.json"], CARD_FORMAT)
    assert (card["kind"], card["dataset"]) == ("segmentation", "masks")
    assert card["target"] > 0.9 > card["other"] == 0
    feature = next(f for f in sections[2]["features"] if f["feature"] == card["feature"])
    step = sections[2]["strengths"].index(card["strength"])
    assert feature["shares"]["feature"][step] == [card["target"], card["other"]]
    control = [card["random_target"], card["random_other"]]
    assert feature["shares"]["random_direction"][step] == control
    assert picture[:4] == b"RIFF"


def test_the_card_shows_an_edit_where_all_change_other_classes_more(tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    shares = {"feature": [[0.1, 0.9], [0, 0], [0.1, 0.3]], "random_direction": [[0, 0]] * 3}
    part = {
        "task": 0, "kind": "classification", "dataset": "d", "head": "class token",
        "classes": ["a"], "strengths": [-1, 0, 1],
        "features": [{"feature": 7, "class": 0, "shares": shares}],
    }  # fmt: skip
    task = SimpleNamespace(test=SimpleNamespace(records=[SimpleNamespace(path="a.png")]))
    transform = colour_backbone().transform
    card, _ = card_of([part], [task], [tmp_path], transform, GRID, [{0: [0]}], [None])
    assert (card["strength"], card["target"], card["other"]) == (1, 0.1, 0.3)


def test_equal_inputs_give_equal_bytes(paths, tmp_path):
    again = write(tmp_path)
    for name in INTERVENTION_FILES:
        assert again[name].read_bytes() == paths[name].read_bytes(), name


def test_an_overlay_has_the_colours_of_the_classes():
    grey = Image.new("RGB", (32, 32), (100, 100, 100))
    pixels = overlaid(grey, np.array([[0, 1], [len(COLOURS), 1]]))
    red = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
    np.testing.assert_allclose(pixels[0, 0], 0.45 * 100 + 0.55 * np.array(red), atol=1)
    assert (pixels[31, 0] == pixels[0, 0]).all(), "colours repeat"
    assert (pixels[0, 31] == pixels[31, 31]).all()


def test_a_head_without_a_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no head that interventions\.heads names"):
        write(tmp_path, masks=False, heads=["patches"])
