"""The pages in Chromium, opened as files: clicked patches, sorted and searched tables."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from browser_fixtures import chromium, phone
from feature_fixtures import GREEN, RED, Made, colour_sae
from match_fixtures import Pair

VEIL = """
const canvas = document.querySelector(arguments[0]);
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
const middle = (patch) => (Math.floor(patch / COLUMNS) + .5) * CELL * canvas.width
  + (patch % COLUMNS + .5) * CELL;
return [...Array(ROWS * COLUMNS).keys()].map((patch) => data[4 * middle(patch) + 3]);
"""
"""How much of each patch is covered, 0 to 255, of the canvas that a selector finds."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("pages"), "14 × 14, cropped", named=[GREEN])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("matches"), frames=("whole", "squashed")).write()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def _open(browser, made, page, fragment=""):
    browser.get("about:blank")
    browser.get((made.folder / page).as_uri() + fragment)


def _click(browser, selector):
    browser.find_element("css selector", selector).click()


def _texts(browser, selector):
    return [found.text for found in browser.find_elements("css selector", selector)]


def test_clicked_patches_give_the_features_of_their_summed_codes(browser, made):
    _open(browser, made, "patches.html")
    _click(browser, "#choices button:nth-child(3)")  # mine.png
    _click(browser, "#clear")
    assert not browser.find_elements("css selector", "#answers li")
    dense_pf = made.findings.queries[2].codes.toarray()
    patches = [int(p) for p in np.flatnonzero(dense_pf[:, RED])[:3]]
    patches.append(int(np.flatnonzero(dense_pf[:, GREEN])[0]))
    for patch in patches:
        _click(browser, f"[data-patch='{patch}']")
    sums = dense_pf[patches].sum(axis=0)
    answers = browser.find_elements("css selector", "#answers li")
    found = {int(a.get_attribute("data-feature")): a.get_attribute("data-sum") for a in answers}
    assert list(found) == [f for f in np.argsort(-sums, kind="stable") if sums[f]]
    for feature, text in found.items():
        assert float(text) == pytest.approx(sums[feature], rel=1e-5)
    shown = browser.find_elements("css selector", "#answers li:first-child img")
    assert [image.get_attribute("src").rpartition("/")[2] for image in shown] == [
        f"{item.image}.webp" for item in made.findings.examples[RED].bands["top"]
    ]
    _click(browser, f"[data-patch='{patches[0]}']")  # a second click takes it back
    left = float(browser.find_element("css selector", "#answers li").get_attribute("data-sum"))
    assert left == pytest.approx(dense_pf[patches[1:]].sum(axis=0)[RED], rel=1e-5)


def test_where_a_feature_fires_is_drawn_over_the_picture(browser, made):
    _open(browser, made, "patches.html")
    _click(browser, "#choices button:nth-child(3)")
    _click(browser, "#all")
    _click(browser, "#answers li:first-child button")
    feature = int(browser.find_element("css selector", "#answers li").get_attribute("data-feature"))
    veil = browser.execute_script(VEIL, "#canvas canvas")
    fires = made.findings.queries[2].codes[:, [feature]].toarray().ravel() > 0
    np.testing.assert_array_equal(np.array(veil) < 150, fires)


def test_codes_are_drawn_on_the_patches_of_examples(browser, made):
    _open(browser, made, "index.html", f"#{RED}")
    item = made.findings.examples[RED].bands["top"][0]
    browser.execute_script(
        "const c = document.querySelector('#feature .picture canvas');"
        "paint(c, Array.from(bytes(c.codes), (level) => level / 255))"
    )
    veil = browser.execute_script(VEIL, "#feature .picture canvas")
    np.testing.assert_array_equal(np.array(veil) < 150, made.kinds[item.image].ravel() == RED)


def test_the_table_is_sorted_searched_and_chosen_from(browser, made):
    _open(browser, made, "index.html")
    numbers = "#table tbody th"
    assert _texts(browser, numbers) == ["0", "1"]
    frequency = made.findings.table.frequency
    _click(browser, "#table thead th:nth-child(2) button")
    assert _texts(browser, numbers) == [str(f) for f in np.argsort(-frequency[:2], kind="stable")]
    _click(browser, "#table thead th:nth-child(2) button")
    assert _texts(browser, numbers) == [str(f) for f in np.argsort(frequency[:2], kind="stable")]
    browser.find_element("css selector", "#search").send_keys("1")
    assert _texts(browser, numbers) == ["1"]
    _click(browser, "#table tbody tr")
    assert _texts(browser, "#feature h2") == ["Feature 1"]
    browser.execute_script("location.hash = '3'")
    browser.implicitly_wait(2)
    assert "is dead" in browser.find_element("css selector", "#feature .note").text


def _rows(browser):
    found = browser.find_elements("css selector", "#matched > li")
    return [int(item.get_attribute("data-row")) for item in found]


def test_matches_are_sorted_and_searched(browser, pair):
    _open(browser, pair, "index.html")
    columns, shown = pair.data("table")["columns"], pair.findings.shown
    assert _rows(browser) == sorted(shown)  # rows fall by correlation over images
    browser.find_element("css selector", "#order option:nth-child(2)").click()  # over patches
    assert _rows(browser) == sorted(shown, key=lambda row: (-columns["patches"][row], row))
    browser.find_element("css selector", "#order option:last-child").click()  # the rarest
    rarest = {r: max(-columns["leftFrequency"][r], -columns["rightFrequency"][r]) for r in shown}
    assert _rows(browser) == sorted(shown, key=lambda row: (-rarest[row], row))
    assert len(_texts(browser, "#table tbody tr")) == len(columns["left"])
    _click(browser, "#table thead th:nth-child(2) button")  # the right feature, the least first
    assert _texts(browser, "#table tbody td:nth-child(2)") == sorted(map(str, columns["right"]))
    row = next(iter(shown))
    search = browser.find_element("css selector", "#search")
    search.send_keys(str(columns["left"][row]))
    found = [
        r for r in range(len(columns["left"]))
        if str(columns["left"][row]) in f"{columns['left'][r]} {columns['right'][r]}"
    ]  # fmt: skip
    assert set(_rows(browser)) == set(found) & set(shown)
    assert _texts(browser, "#count") == [f"{len(found)} of {len(columns['left'])}"]
    search.send_keys("zzz")
    assert "No match with images" in browser.find_element("css selector", "#matched .note").text


def test_both_features_are_drawn_on_the_same_images_or_each_on_its_own(browser, pair):
    _open(browser, pair, "index.html")
    row, shown = next(iter(pair.data("examples")["rows"].items()))
    concept = pair.data("table")["columns"]["left"][int(row)]

    def images(side):
        found = browser.find_elements("css selector", f"#match-{row} .side:nth-child({side}) img")
        names = [image.get_attribute("src").rpartition("/")[2] for image in found]
        return [int(name.removesuffix(".webp").removesuffix("-right")) for name in names], names

    (left, _), (right, names) = images(1), images(2)
    assert left == right == [shown["images"][place] for place in shown["together"]]
    assert all(name.endswith("-right.webp") for name in names)
    for side in (1, 2):
        canvas = f"#match-{row} .side:nth-child({side}) .picture:nth-child(2) canvas"
        browser.execute_script(
            "const c = document.querySelector(arguments[0]);"
            "paint(c, Array.from(bytes(c.codes), (level) => level / 255), c.grid)",
            canvas,
        )
        veil = browser.execute_script("const ROWS = 14, COLUMNS = 14;" + VEIL, canvas)
        planted = pair.kinds[left[1]].ravel() == concept
        np.testing.assert_array_equal(np.array(veil) < 150, planted)
    _click(browser, "#same")
    for side, name in ((1, "left"), (2, "right")):
        assert images(side)[0] == [shown["images"][place] for place in shown[name]["top"]]
    loaded = browser.execute_script(
        "return [...document.querySelectorAll('#matched img')].filter((i) => i.complete)"
        ".every((i) => i.naturalWidth >= 160)"
    )
    assert loaded


@pytest.mark.parametrize("page", ["index.html", "patches.html", "matches"])
def test_pages_fit_a_phone(page, browser, made, pair):
    with phone(browser):
        if page == "matches":
            _open(browser, pair, "index.html")
        else:
            _open(browser, made, page)


def test_an_sae_without_a_live_feature_has_whole_pages(browser, tmp_path):
    dead = Made(
        tmp_path, "8 × 8, as it is", model=replace(colour_sae(), threshold=torch.tensor(9e9))
    )
    _open(browser, dead, "index.html")
    assert (_texts(browser, "#count"), len(_texts(browser, "#group option"))) == (["0"], 1)
    _open(browser, dead, "patches.html")
    _click(browser, "[data-patch='0']")
    assert "0 features fire" in browser.find_element("css selector", "#chosen").text
