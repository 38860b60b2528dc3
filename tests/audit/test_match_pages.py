"""Pages of two SAEs: planted concepts are found in both, and drawn on the patches they are on."""

import csv
import io
import json

import numpy as np
import pytest
from feature_fixtures import bytes_of
from match_fixtures import CONCEPTS, FRAMES, IMAGES, Pair
from PIL import Image

from visae.audit.cards import MATCHES, read_card
from visae.audit.pictures import SIDE as PIXELS
from visae.audit.pictures import webp_of
from visae.audit.sides import common_images
from visae.backbones.preprocessing import Preprocessing
from visae.base.errors import UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("matches")).write()


def expected(pair):
    """{left feature: right feature}."""
    return {concept: feature for feature, concept in enumerate(pair.order)}


@pytest.mark.parametrize("orders", [("raster", "permuted"), ("forward", "raster")])
def test_concepts_are_found_in_both_whatever_the_order_of_patches(orders, tmp_path):
    pair = Pair(tmp_path, orders=orders)
    for kind in ("images", "patches"):
        found = pair.findings.matches[kind]
        assert dict(found.pairs[found.above].tolist()) == expected(pair)
        assert found.live == (CONCEPTS, CONCEPTS)
    assert pair.findings.matches["patches"].items == 30 * 196


def test_other_grids_are_compared_over_images_only(tmp_path):
    pair = Pair(tmp_path, grids=(14, 7)).write()
    assert dict(pair.findings.pairs.tolist()) == expected(pair)
    assert list(pair.findings.matches) == ["images"]
    card, _ = read_card(pair.folder / "card.json", MATCHES)
    assert card["apart"] == "the grids of patches differ: 14 × 14 and 7 × 7"
    assert "14 × 14 and 7 × 7" in (pair.folder / "index.html").read_text("utf-8")
    for row in pair.data("examples")["rows"].values():
        assert {len(bytes_of(codes)) for codes in row["left"]["maps"]} == {196}
        assert {len(bytes_of(codes)) for codes in row["right"]["maps"]} == {49}


def test_patches_are_left_out_where_the_config_says_so(tmp_path):
    pair = Pair(tmp_path, settings={"patch_images": 0})
    assert list(pair.findings.matches) == ["images"]
    assert pair.findings.apart == "matches.patch_images is 0"


def test_of_shuffled_images_little_is_left(tmp_path):
    pair = Pair(tmp_path, shuffled=True).write()
    for found in pair.findings.matches.values():
        assert found.above.sum() <= 2
    card, _ = read_card(pair.folder / "card.json", MATCHES)
    assert card["rows"] <= 3


def test_codes_of_both_are_drawn_on_the_planted_patches(made):
    table, examples = made.data("table")["columns"], made.data("examples")
    assert len(examples["rows"]) == 5
    for row, shown in examples["rows"].items():
        concept = table["left"][int(row)]
        assert made.order[table["right"][int(row)]] == concept
        for side in ("left", "right"):
            for image, codes in zip(shown["images"], shown[side]["maps"], strict=True):
                drawn = bytes_of(codes).reshape(14, 14) > 0
                np.testing.assert_array_equal(drawn, made.kinds[image] == concept)
            assert len(shown[side]["top"]) == 3
            codes = np.array(shown[side]["codes"])
            assert (np.diff(codes[shown[side]["top"]]) <= 0).all()
            assert codes.max() == codes[shown[side]["top"][0]]
        both = sum(np.array(shown[s]["codes"]) / max(shown[s]["codes"]) for s in ("left", "right"))
        assert (np.diff(both[shown["together"]]) <= 1e-3).all()
        assert sorted(shown["together"]) == list(range(len(shown["images"])))


@pytest.mark.parametrize("frames", [("whole", "whole"), ("whole", "squashed")])
def test_pictures_are_there_once_unless_backbones_see_different_ones(frames, tmp_path):
    pair = Pair(tmp_path, frames=frames).write()
    shown = sorted(map(int, pair.data("examples")["images"]))
    alike = frames[0] == frames[1]
    suffixes = ("",) if alike else ("", "-right")
    files = {f"{image}{suffix}.webp" for image in shown for suffix in suffixes}
    assert {path.name for path in (pair.folder / "images").iterdir()} == files
    for suffix, frame in zip(suffixes, frames, strict=False):
        with Image.open(pair.folder / f"images/{shown[0]}{suffix}.webp") as picture:
            assert picture.width == picture.height >= PIXELS
            assert picture.width % FRAMES[frame].crop == 0
    text = (pair.folder / "index.html").read_text("utf-8")
    assert ("crop images differently" in text) == (not alike)


def test_pictures_that_are_no_squares_are_made_by_what_a_cache_says_of_them(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (90, 50)).save(path)
    frame = Preprocessing("squash", (40, 80), (40, 80), "nearest", (0.5,) * 3, (1,) * 3)
    read = Preprocessing(**json.loads(json.dumps(frame.record())))
    assert read == frame
    with Image.open(io.BytesIO(webp_of(path, read))) as picture:
        assert picture.size == (320, 160)


def test_the_table_has_all_matches_with_what_is_known_of_both(made):
    rows = list(csv.DictReader(io.StringIO((made.folder / "matches.csv").read_text("utf-8"))))
    columns = made.data("table")["columns"]
    assert [int(row["left"]) for row in rows] == columns["left"]
    assert {int(row["left"]): int(row["right"]) for row in rows} == expected(made)
    strength = [float(row["images_correlation"]) for row in rows]
    assert strength == sorted(strength, reverse=True)
    for row in rows:
        on = made.kinds == int(row["left"])
        assert float(row["left_frequency"]) == pytest.approx(on.mean(), rel=1e-4)
        assert int(row["left_images"]) == int(row["right_images"]) == on.any(axis=(1, 2)).sum()
        counts = np.bincount(made.labels[on.any(axis=(1, 2))], minlength=3)
        assert row["left_class"] == ["a", "b", "c & d"][counts.argmax()]
        assert (row["images_match"], row["patches_match"]) == ("true", "true")


def test_the_card_says_what_was_found(made):
    card, picture = read_card(made.folder / "card.json", MATCHES)
    assert (card["left"], card["right"]) == ("toy0/layer3/s", "toy1/layer3/s")
    assert card["images"] == IMAGES
    assert card["kinds"]["images"]["above"] == card["kinds"]["images"]["mutual"] == CONCEPTS
    assert card["kinds"]["images"]["shares"] == [1, 1]
    assert card["best"]["left"] == made.order[card["best"]["right"]]
    with Image.open(io.BytesIO(picture)) as image:
        assert image.size == (4 * 168, 2 * 168 + 8)


def test_unlabelled_images_have_no_class(tmp_path):
    pair = Pair(tmp_path, labels=[-1] * IMAGES).write()
    assert set(pair.data("table")["columns"]["leftLabel"]) == {None}
    assert "or class" not in (pair.folder / "index.html").read_text("utf-8")


def test_nothing_is_shown_where_nothing_is_asked_for(tmp_path):
    pair = Pair(tmp_path, settings={"shown": 0}).write()
    assert pair.data("examples") == {"rows": {}, "images": {}}
    assert len(pair.data("table")["columns"]["left"]) == CONCEPTS
    assert read_card(pair.folder / "card.json", MATCHES)[0]["best"] is None


def test_pages_name_the_saes_and_escape_what_they_say(made):
    text = (made.folder / "index.html").read_text("utf-8")
    assert "Toy &lt;0&gt;" in text
    assert "Toy <0>" not in text
    assert "http" not in text
    assert text.count('<a href="../f/index.html">') == 1  # the other has no page of its features


def test_files_do_not_depend_on_the_run(made, tmp_path):
    again = Pair(tmp_path).write()
    files = sorted(path.relative_to(made.folder) for path in made.folder.rglob("*.*"))
    assert len(files) > 10
    for file in files:
        assert (made.folder / file).read_bytes() == (again.folder / file).read_bytes(), file


def test_codes_on_patches_come_in_the_order_in_which_images_are_asked_for(made):
    side = made.sides[1]
    ordered = side.patches(np.array([3, 20, 31])).toarray().reshape(3, 196, -1)
    other = side.patches(np.array([31, 3, 20])).toarray().reshape(3, 196, -1)
    np.testing.assert_array_equal(other, ordered[[2, 0, 1]])
    for image, codes in zip((3, 20, 31), ordered, strict=True):
        fires = {concept: codes[:, feature] > 0 for feature, concept in enumerate(made.order)}
        for concept, of_patches in fires.items():
            np.testing.assert_array_equal(of_patches, made.kinds[image].ravel() == concept)


def test_images_are_paired_by_their_ids():
    left, right = common_images(["a", "b", "c", "d"], ["d", "x", "b"], ("one", "other"))
    assert (left.tolist(), right.tolist()) == ([1, 3], [2, 0])
    with pytest.raises(UserError, match=r"one and other have no images in common.*same split"):
        common_images(["a"], ["b"], ("one", "other"))
